//! The help, over everything else.

use std::cell::Cell;

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Padding, Paragraph};

use super::theme::Theme;
use crate::view::grid::wrap;

/// Width of the keys, of everything at most, and of the frame on both sides.
const KEYS: usize = 15;
const WIDTH: u16 = 70;
const FRAME: usize = 4;

const LINES: [(&str, &str); 33] = [
    ("q Esc Ctrl-C", "quit (Esc first closes a path or a filter)"),
    ("? h", "this help"),
    ("1 … 6", "Overview, Paths, Fragments, Sizes, Health, Cost"),
    ("Tab", "the other table"),
    ("↑ ↓ PgUp PgDn", "select a line; Home, End"),
    ("Enter", "look into the selected path"),
    ("s > → / S < ←", "sort by the next / previous column"),
    ("r", "reverse the order"),
    ("/", "filter by words: device, peer, scope …"),
    ("b", "bits or bytes"),
    ("t", "per second, counts, counts since the start"),
    ("p Space", "pause; the history goes on"),
    ("← → [ ]", "while paused: step through the history"),
    ("+ -", "interval; of a recording the speed"),
    ("m M v", "Sizes: another MTU; IPv4 or IPv6 outside"),
    ("c", "Health: measure what the programs cost;"),
    ("", "Cost: measure what encapsulation costs"),
    ("x", "mouse: wheel and clicks on tabs, or the terminal's"),
    ("Ctrl-L", "draw the screen again"),
    ("OVERHEAD %", "bytes of tunnel headers / L3 bytes"),
    ("FRAGM", "fragments, outer and inner"),
    ("OVERSIZED", "larger than the device's MTU"),
    ("O. I.", "fragments of the outer, of the inner packet"),
    ("W.FRAG", "the tunnel would have to fragment them"),
    ("W.DROP", "the same with DF: it would drop them"),
    ("PTB", "ICMP signals over the interval (their MTU)"),
    ("COST, CPU", "of a tunnel: ns a packet, share of one CPU"),
    ("RESENT", "TCP segments that were sent again"),
    ("external", "underlay traffic that is no pod's"),
    ("too big", "OVERSIZED on underlays, W.FRAG and W.DROP at tunnels"),
    ("›", "at a line's end: something stands in a column without room"),
    ("–", "unknown or not measured; never zero"),
    ("·", "in a curve: nothing known"),
];

/// Draws the help in the middle, from line `top` on, which is brought back to what can be shown.
pub(super) fn draw(top: &Cell<usize>, theme: Theme, frame: &mut Frame, area: Rect) {
    let [area] = Layout::horizontal([Constraint::Max(WIDTH)]).flex(Flex::Center).areas(area);
    let width = usize::from(area.width).saturating_sub(FRAME + KEYS);
    let lines: Vec<Line> =
        LINES.iter().flat_map(|(key, meaning)| entry(key, meaning, width, theme)).collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let [area] = Layout::vertical([Constraint::Max(height)]).flex(Flex::Center).areas(area);
    let room = usize::from(area.height.saturating_sub(2));
    top.set(top.get().min(lines.len().saturating_sub(room)));
    let title = if room < lines.len() { " Keys and words, ↑ ↓ for more " } else { " Keys and words " };
    let lines: Vec<Line> = lines.into_iter().skip(top.get()).collect();
    let block = Block::bordered().title(title).padding(Padding::horizontal(1));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(Text::from(lines)).block(block), area);
}

/// A key and its meaning, which is broken where it does not fit.
fn entry(key: &str, meaning: &str, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let keys = std::iter::once(key.to_owned()).chain(std::iter::repeat(String::new()));
    keys.zip(wrap(meaning, width))
        .map(|(key, part)| {
            Line::from(vec![Span::styled(format!("{key:<KEYS$}"), theme.strong()), Span::raw(part)])
        })
        .collect()
}
