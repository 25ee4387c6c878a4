//! The Sizes screen: the size histogram of one line with the MTUs, and the what-if.

use observer_common::kind::Class;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line as Text, Span};

use super::app::App;
use super::tab::Focus;
use super::theme::Theme;
use crate::model::whatif::{Carriage, Share, would_not_fit};
use crate::model::{Line, Report, Row};
use crate::topology::Role;
use crate::view::columns;
use crate::view::grid::Tone;
use crate::view::units;

/// Encapsulations to compare, Calico's first.
const PLANS: [Class; 7] =
    [Class::None, Class::Ipip, Class::Vxlan, Class::Wireguard, Class::Ip6In6, Class::Geneve, Class::Gre];
/// Maximum width of the histogram with its labels.
const HISTOGRAM: u16 = 86;
/// Width of the what-if next to the histogram.
const WHATIF: u16 = 40;

/// Draws the screen.
pub(super) fn draw(app: &App, report: &Report, theme: Theme, frame: &mut Frame, area: Rect) {
    let lines = app.traffic(Focus::Sizes, report);
    let selected = app.views[Focus::Sizes as usize].selected;
    let Some((line, row)) = lines.get(selected).and_then(|line| Some((line, line.row?))) else {
        frame.render_widget(
            Text::styled("  no packets counted, or no match for the filter", theme.dim()),
            area,
        );
        return;
    };
    let [title, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(head(line, selected, lines.len(), area.width, theme), title);
    let below = area.width < 40 + WHATIF;
    let plans = whatif(app, report, row, below, theme);
    let (left, right) = if below {
        // Observed sizes and the what-if share the height.
        let seen = bars(report, line, row).iter().filter(|bar| !bar.empty()).count() + 1;
        let need = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX);
        let least = need(seen).min(body.height.div_ceil(2));
        let lower = need(plans.len()).min(body.height - least);
        let halves: [Rect; 2] = Layout::vertical([Constraint::Min(0), Constraint::Length(lower)]).areas(body);
        (halves[0], halves[1])
    } else {
        let halves: [Rect; 2] =
            Layout::horizontal([Constraint::Max(HISTOGRAM), Constraint::Length(WHATIF)]).areas(body);
        (halves[0], halves[1])
    };
    let text = histogram(report, line, row, theme, left);
    frame.render_widget(ratatui::text::Text::from(text), left);
    frame.render_widget(ratatui::text::Text::from(plans), right);
}

fn head(line: &Line, selected: usize, count: usize, width: u16, theme: Theme) -> Text<'static> {
    let name = units::printable(&line.device.device.name);
    let title = format!("▸ {name} {} {}", line.direction.label(), columns::encapsulation(line).text);
    let place = format!("  {} of {count}, ↑ ↓ to select", selected + 1);
    let mut spans = vec![Span::styled(title, theme.title(true))];
    if spans[0].content.chars().count() + place.chars().count() <= usize::from(width) {
        spans.push(Span::styled(place, theme.dim()));
    }
    Text::from(spans)
}

/// A line of the histogram: a size class, or an MTU between two classes.
enum Bar {
    Sizes { label: String, count: u64 },
    Mtu { mtu: u32, devices: String },
}

impl Bar {
    const fn empty(&self) -> bool {
        matches!(self, Self::Sizes { count: 0, .. })
    }
}

fn bars(report: &Report, line: &Line, row: &Row) -> Vec<Bar> {
    let mut mtus: Vec<(u32, String)> = report
        .devices
        .iter()
        .filter(|d| d.device.mtu != 0)
        .filter(|d| {
            d.device.name == line.device.device.name || matches!(d.device.role, Role::Underlay | Role::Tunnel)
        })
        .map(|d| (d.device.mtu, units::printable(&d.device.name)))
        .collect();
    mtus.sort();
    let bounds = &report.size_bounds;
    let mut bars: Vec<Bar> = Vec::new();
    let mut drawn = mtus.into_iter().peekable();
    for (index, count) in row.sizes.iter().take(bounds.len() + 1).enumerate() {
        // An MTU between two bounds is drawn ahead of the class that it divides.
        let bound = bounds.get(index).copied();
        while let Some((mtu, devices)) = drawn.next_if(|(mtu, _)| bound.is_some_and(|bound| *mtu < bound)) {
            push_mtu(&mut bars, mtu, devices);
        }
        let label = match (bound, bounds.last()) {
            (Some(bound), _) => format!("≤ {bound}"),
            (None, Some(last)) => format!("> {last}"),
            (None, None) => "any".to_owned(),
        };
        bars.push(Bar::Sizes { label, count: *count });
        while let Some((mtu, devices)) = drawn.next_if(|(mtu, _)| Some(*mtu) == bound) {
            push_mtu(&mut bars, mtu, devices);
        }
    }
    drawn.for_each(|(mtu, devices)| push_mtu(&mut bars, mtu, devices));
    bars
}

fn push_mtu(bars: &mut Vec<Bar>, mtu: u32, devices: String) {
    match bars.last_mut() {
        Some(Bar::Mtu { mtu: last, devices: names }) if *last == mtu => {
            names.push_str(", ");
            names.push_str(&devices);
        }
        _ => bars.push(Bar::Mtu { mtu, devices }),
    }
}

/// Drops what does not fit: first empty sizes, then MTUs, then the sizes with the fewest packets. Also returns the
/// number of dropped empty and non-empty sizes.
fn shorten(mut bars: Vec<Bar>, room: usize) -> (Vec<Bar>, [usize; 2]) {
    let mut hidden = [0; 2];
    while bars.len() > room {
        let count = |bar: &Bar| match bar {
            Bar::Sizes { count: 0, .. } => (0, 0),
            Bar::Mtu { .. } => (1, 0),
            Bar::Sizes { count, .. } => (2, *count),
        };
        let Some(place) = (0..bars.len()).min_by_key(|place| count(&bars[*place])) else { break };
        match bars.remove(place) {
            Bar::Sizes { count, .. } => hidden[usize::from(count != 0)] += 1,
            Bar::Mtu { .. } => {}
        }
    }
    (bars, hidden)
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn histogram(report: &Report, line: &Line, row: &Row, theme: Theme, area: Rect) -> Vec<Text<'static>> {
    let packets: u64 = row.sizes.iter().sum();
    let most = row.sizes.iter().copied().max().unwrap_or(0).max(1);
    let (bars, hidden) = shorten(bars(report, line, row), usize::from(area.height.saturating_sub(1)));
    let width = usize::from(area.width.saturating_sub(24)).min(60);
    let header = format!("{:>7}  {:>6}  {:>5}", "BYTES", "%", "COUNT");
    let more = match hidden {
        [0, 0] => String::new(),
        [empty, 0] => format!("  {empty} empty rows hidden"),
        [_, some] => format!("  {some} rows hidden"),
    };
    let mut text = vec![Text::styled(header + &more, theme.dim())];
    for bar in bars {
        text.push(match bar {
            Bar::Mtu { mtu, devices } => Text::styled(
                ruled(&format!("── MTU {mtu} {devices} "), usize::from(area.width.saturating_sub(2))),
                theme.dim(),
            ),
            Bar::Sizes { label, count } => {
                let share = (packets != 0).then(|| count as f64 / packets as f64);
                let cells =
                    usize::try_from(u128::from(count) * width as u128 / u128::from(most)).unwrap_or(0);
                let cells = if count == 0 { 0 } else { cells.max(1) };
                Text::from(vec![
                    Span::raw(format!(
                        "{label:>7}  {:>6}  {:>5} ",
                        units::percent(share),
                        units::si(count as f64)
                    )),
                    Span::raw("█".repeat(cells)),
                ])
            }
        });
    }
    text
}

/// A text, continued as a ruler up to the width.
fn ruled(text: &str, width: usize) -> String {
    let rest = width.saturating_sub(text.chars().count());
    crate::view::grid::fit(&(text.to_owned() + &"─".repeat(rest)), width, false)
}

fn whatif(app: &App, report: &Report, row: &Row, brief: bool, theme: Theme) -> Vec<Text<'static>> {
    let mtus = App::plan_mtus(report);
    let mtu = mtus.get(app.plan_mtu % mtus.len().max(1)).copied().unwrap_or(1_500);
    let family = if app.plan_ipv6 { "IPv6" } else { "IPv4" };
    let mut text = vec![Text::styled(format!("Would exceed MTU {mtu} over {family}"), theme.strong())];
    if !brief {
        text.push(Text::styled("m M: MTU, v: IPv4/IPv6", theme.dim()));
    }
    // The outer address family follows from the peers of the paths. A line may contain both families.
    let mut peers = report.paths.iter().filter(|path| path.id.class == row.class).map(|path| path.id.peer);
    let carriage = |over_ipv6| Carriage { class: row.class, over_ipv6 };
    let now: Vec<Carriage> = [false, true]
        .into_iter()
        .filter(|over_ipv6| peers.clone().any(|peer| peer.is_ipv6() == *over_ipv6))
        .map(carriage)
        .collect();
    let now = if peers.next().is_none() { vec![carriage(false)] } else { now };
    if now.iter().any(|now| now.overhead().is_none()) {
        let why = format!("{} is not pod traffic", row.class.label());
        text.push(Text::styled(why, theme.dim()));
        return text;
    }
    // The current encapsulation comes first if not all fit.
    let first = PLANS.into_iter().filter(|class| brief && *class == row.class);
    let rest = PLANS.into_iter().filter(|class| !brief || *class != row.class);
    for class in first.chain(rest) {
        let plan = Carriage { class, over_ipv6: app.plan_ipv6 };
        let Some(overhead) = plan.overhead() else { continue };
        let shares =
            now.iter().filter_map(|now| would_not_fit(&report.size_bounds, &row.sizes, *now, mtu, plan));
        let Some(share) = shares.reduce(Share::either) else { continue };
        let tone = if share.most == 0 { Tone::Plain } else { Tone::Notice };
        let mark = if class == row.class
            && (class == Class::None || now.iter().any(|now| now.over_ipv6 == app.plan_ipv6))
        {
            "current"
        } else {
            ""
        };
        text.push(Text::from(vec![
            Span::raw(format!("{:<10} +{overhead:<3} ", class.label())),
            Span::styled(format!("{:<17}", share_text(share)), theme.tone(tone)),
            Span::styled(mark, theme.dim()),
        ]));
    }
    text.push(Text::styled("share of the packets counted here", theme.dim()));
    text
}

/// The share: exact, or a range.
fn share_text(share: Share) -> String {
    match share.ratios() {
        None => units::UNKNOWN.to_owned(),
        Some((least, _)) if share.exact => units::ratio(Some(least)),
        Some((least, most)) => format!("{} to {}", units::percent(Some(least)), units::ratio(Some(most))),
    }
}
