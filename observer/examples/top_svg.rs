//! Renders the Overview screen of `observer top` on a simulated node to `top-dark.svg` and `top-light.svg` in the given
//! folder: `cargo run -p observer --example top_svg -- docs/images`.

use std::fmt::Write as _;
use std::path::Path;

extern crate observer;

use observer::view::tui::{App, Options};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

#[path = "../src/view/fixture.rs"]
#[expect(dead_code, reason = "the picture does not need every variant of the node")]
mod fixture;

/// Size of the screen in characters.
const COLUMNS: u16 = 110;
const LINES: u16 = 36;
/// Size of a character, and the offset of its baseline, in pixels.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const BASELINE: f64 = 13.5;
/// Space around the screen, and height of the title bar.
const PADDING: f64 = 16.0;
const TITLE: f64 = 34.0;

/// Colours of a picture.
struct Palette {
    name: &'static str,
    background: &'static str,
    title: &'static str,
    border: &'static str,
    text: &'static str,
    dim: &'static str,
    chart: &'static str,
    notice: &'static str,
    alarm: &'static str,
}

const PALETTES: [Palette; 2] = [
    Palette {
        name: "dark",
        background: "#0d1117",
        title: "#161b22",
        border: "#30363d",
        text: "#e6edf3",
        dim: "#8b949e",
        chart: "#4493f8",
        notice: "#d2a8ff",
        alarm: "#ff7b72",
    },
    Palette {
        name: "light",
        background: "#ffffff",
        title: "#f6f8fa",
        border: "#d1d9e0",
        text: "#1f2328",
        dim: "#656d76",
        chart: "#54aeff",
        notice: "#8250df",
        alarm: "#cf222e",
    },
];

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "docs/images".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let screen = overview();
    for palette in &PALETTES {
        let path = folder.join(format!("top-{}.svg", palette.name));
        std::fs::write(&path, svg(&screen, palette))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The Overview screen after two minutes.
fn overview() -> Buffer {
    let mut app = App::new(Options::default());
    for second in 100..220 {
        app.on_snapshot(fixture::snapshot(second));
    }
    let mut terminal = Terminal::new(TestBackend::new(COLUMNS, LINES)).expect("a test backend does not fail");
    terminal.draw(|frame| app.draw(frame)).expect("a test backend does not fail");
    terminal.backend().buffer().clone()
}

fn svg(screen: &Buffer, palette: &Palette) -> String {
    let width = f64::from(COLUMNS) * WIDTH + 2.0 * PADDING;
    let height = f64::from(LINES) * HEIGHT + 2.0 * PADDING + TITLE;
    let Palette { background, title, border, text, dim, .. } = palette;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="The Overview screen of observer top">
<style>text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: {text}; white-space: pre; }} .b {{ font-weight: bold; }} .u {{ text-decoration: underline; }}</style>
<rect x="0.5" y="0.5" width="{:.0}" height="{:.0}" rx="9" fill="{background}" stroke="{border}"/>
<path d="M1 {TITLE} V10 a9 9 0 0 1 9 -9 H{:.0} a9 9 0 0 1 9 9 V{TITLE} Z" fill="{title}"/>
"#,
        width - 1.0,
        height - 1.0,
        width - 10.0,
    );
    for (nth, colour) in ["#ff5f57", "#febc2e", "#28c840"].into_iter().enumerate() {
        let _ = writeln!(svg, r#"<circle cx="{}" cy="17" r="6" fill="{colour}"/>"#, 22 + 20 * nth);
    }
    let _ = writeln!(
        svg,
        r#"<text x="{:.0}" y="22" text-anchor="middle" style="fill:{dim}">sudo observer top</text>"#,
        width / 2.0
    );
    for y in 0..LINES {
        line(&mut svg, screen, y, palette);
    }
    svg + "</svg>\n"
}

/// One line of the screen, in runs of equal style.
fn line(svg: &mut String, screen: &Buffer, y: u16, palette: &Palette) {
    let top = TITLE + PADDING + f64::from(y) * HEIGHT;
    let mut x = 0;
    while x < COLUMNS {
        let first = &screen[(x, y)];
        let run = (x..COLUMNS).take_while(|x| alike(&screen[(*x, y)], first)).count();
        let end = x + u16::try_from(run).unwrap_or(COLUMNS);
        let left = PADDING + f64::from(x) * WIDTH;
        let reversed = first.modifier.contains(Modifier::REVERSED);
        if reversed {
            let width = f64::from(end - x) * WIDTH;
            let _ = writeln!(
                svg,
                r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{HEIGHT}" fill="{}"/>"#,
                palette.text
            );
        }
        if let Some(eighths) = bar(first) {
            let (width, height) = (f64::from(end - x) * WIDTH, HEIGHT * f64::from(eighths) / 8.0);
            let _ = writeln!(
                svg,
                r#"<rect x="{left:.1}" y="{:.2}" width="{width:.1}" height="{height:.2}" fill="{}" shape-rendering="crispEdges"/>"#,
                top + HEIGHT - height,
                palette.chart
            );
        } else {
            let text: String = (x..end).map(|x| screen[(x, y)].symbol()).collect();
            words(svg, &text, left, top + BASELINE, &style(first, reversed, palette));
        }
        x = end;
    }
}

/// The parts of a run between gaps of two or more spaces, each at its own position and width, so that columns are
/// aligned whatever the font.
fn words(svg: &mut String, text: &str, left: f64, baseline: f64, style: &str) {
    let characters: Vec<char> = text.chars().collect();
    let gap = |at: usize| characters[at..].iter().take(2).all(|c| *c == ' ');
    let mut at = 0;
    while at < characters.len() {
        if characters[at] == ' ' {
            at += 1;
            continue;
        }
        let end = (at..characters.len()).find(|end| gap(*end)).unwrap_or(characters.len());
        let word: String = characters[at..end].iter().collect();
        let word = word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        #[expect(clippy::cast_precision_loss, reason = "a position on the screen")]
        let (x, length) = (left + at as f64 * WIDTH, (end - at) as f64 * WIDTH);
        let _ = writeln!(
            svg,
            r#"<text x="{x:.1}" y="{baseline:.1}" textLength="{length:.1}" lengthAdjust="spacingAndGlyphs"{style}>{word}</text>"#
        );
        at = end;
    }
}

/// Whether two cells belong to one run.
fn alike(a: &Cell, b: &Cell) -> bool {
    a.fg == b.fg && a.modifier == b.modifier && bar(a) == bar(b)
}

/// Height of a bar of a chart in eighths.
fn bar(cell: &Cell) -> Option<u32> {
    let character = cell.symbol().chars().next()?;
    ('▁'..='█').contains(&character).then(|| u32::from(character) - u32::from('▁') + 1)
}

/// Class and colour of a run, as attributes.
fn style(cell: &Cell, reversed: bool, palette: &Palette) -> String {
    let classes: Vec<&str> = [(Modifier::BOLD, "b"), (Modifier::UNDERLINED, "u")]
        .into_iter()
        .filter_map(|(modifier, class)| cell.modifier.contains(modifier).then_some(class))
        .collect();
    let mut style = String::new();
    if !classes.is_empty() {
        let _ = write!(style, r#" class="{}""#, classes.join(" "));
    }
    let colour = match cell.fg {
        _ if reversed => palette.background,
        Color::Magenta => palette.notice,
        Color::Red => palette.alarm,
        _ if cell.modifier.contains(Modifier::DIM) => palette.dim,
        _ => return style,
    };
    let _ = write!(style, r#" style="fill:{colour}""#);
    style
}
