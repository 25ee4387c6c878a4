//! The help window.

use std::cell::Cell;

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Padding, Paragraph};

use super::theme::Theme;
use crate::view::grid::wrap;

/// Width of the key column, maximum width of the window, and width of its frame.
const KEYS: usize = 15;
const WIDTH: u16 = 70;
const FRAME: usize = 4;

const LINES: [(&str, &str); 33] = [
    ("q Esc Ctrl-C", "quit (Esc first closes a path or clears the filter)"),
    ("? h", "open or close this help"),
    ("1 … 6", "Overview, Paths, Fragments, Sizes, Health, Cost"),
    ("Tab", "next table"),
    ("↑ ↓ PgUp PgDn", "select a line; Home, End: first, last"),
    ("Enter", "details of the selected path"),
    ("s > → / S < ←", "sort by the next / previous column"),
    ("r", "reverse the order"),
    ("/", "filter by device, peer, scope and so on; all words must match"),
    ("b", "bits or bytes"),
    ("t", "rates, counts of the interval, or totals"),
    ("p Space", "pause or resume; the history keeps growing"),
    ("← → [ ]", "while paused: step through the history"),
    ("+ -", "change the interval, or the speed of a recording"),
    ("m M v", "Sizes: next or previous MTU; IPv4 or IPv6 outside"),
    ("c", "Health: measure the CPU time of the BPF programs;"),
    ("", "Cost: measure the cost of encapsulation"),
    ("x", "mouse input for the screens or for the terminal"),
    ("Ctrl-L", "redraw the screen"),
    ("OVERHEAD %", "encapsulation bytes / L3 bytes"),
    ("FRAGM", "fragments, outer and inner"),
    ("OVERSIZED", "packets larger than the device's MTU"),
    ("O. I.", "fragments of the outer, of the inner packet"),
    ("W.FRAG", "packets that the tunnel would have to fragment"),
    ("W.DROP", "packets that the tunnel would drop (DF set, or IPv6)"),
    ("PTB", "ICMP PTB (packet too big) messages and their MTU"),
    ("COST, CPU", "encapsulation: ns per packet, share of one CPU"),
    ("RETRANS", "retransmitted TCP segments"),
    ("external", "underlay traffic that is not pod traffic"),
    ("too big", "OVERSIZED on underlays, W.FRAG and W.DROP on tunnels"),
    ("›", "at the end of a line: a hidden column needs attention"),
    ("–", "unknown or not measured; never zero"),
    ("·", "in a chart: unknown"),
];

/// Draws the help in the middle, starting at line `top`, which is clamped.
pub(super) fn draw(top: &Cell<usize>, theme: Theme, frame: &mut Frame, area: Rect) {
    let [area] = Layout::horizontal([Constraint::Max(WIDTH)]).flex(Flex::Center).areas(area);
    let width = usize::from(area.width).saturating_sub(FRAME + KEYS);
    let lines: Vec<Line> =
        LINES.iter().flat_map(|(key, meaning)| entry(key, meaning, width, theme)).collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let [area] = Layout::vertical([Constraint::Max(height)]).flex(Flex::Center).areas(area);
    let room = usize::from(area.height.saturating_sub(2));
    top.set(top.get().min(lines.len().saturating_sub(room)));
    let title = if room < lines.len() { " Help: ↑ ↓ for more " } else { " Help " };
    let lines: Vec<Line> = lines.into_iter().skip(top.get()).collect();
    let block = Block::bordered().title(title).padding(Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(Text::from(lines)).block(block), area);
}

/// A key and its meaning, wrapped if necessary.
fn entry(key: &str, meaning: &str, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let keys = std::iter::once(key.to_owned()).chain(std::iter::repeat(String::new()));
    keys.zip(wrap(meaning, width))
        .map(|(key, part)| {
            Line::from(vec![Span::styled(format!("{key:<KEYS$}"), theme.strong()), Span::raw(part)])
        })
        .collect()
}
