//! The chart docs/performance.svg: R and budget of each class.

use std::fmt::Write as _;

use crate::report::Bar;

const LABELS: f64 = 330.0;
const BARS: f64 = 470.0;
const RIGHT: f64 = 60.0;
const ROW: f64 = 22.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 16.0;

/// Draws horizontal bars; a line across each shows its budget.
pub fn svg(title: &str, bars: &[Bar]) -> String {
    let longest = bars.iter().flat_map(|bar| [bar.value, bar.budget]).fold(1.0, f64::max);
    let scale = BARS / longest;
    let (width, height) = (LABELS + BARS + RIGHT, TOP + bars.len() as f64 * ROW + BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-weight=\"600\" fill=\"#1f2933\">{}</text>\n",
        escaped(title),
        escaped(title),
    );
    for (n, bar) in bars.iter().enumerate() {
        let y = TOP + n as f64 * ROW;
        let colour = if bar.value <= bar.budget { "#2b7a78" } else { "#b4532a" };
        let (length, budget) = (bar.value.max(0.0) * scale, LABELS + bar.budget * scale);
        let text = y + 15.0;
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\" fill=\"#1f2933\">{}</text>\n\
             <rect x=\"{LABELS:.0}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"14\" fill=\"{colour}\"/>\n\
             <line x1=\"{budget:.1}\" x2=\"{budget:.1}\" y1=\"{y:.0}\" y2=\"{:.0}\" stroke=\"#1f2933\" \
             stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{text:.0}\" fill=\"#1f2933\">{:.2}</text>\n",
            LABELS - 8.0,
            escaped(&bar.label),
            y + 4.0,
            y + ROW,
            (LABELS + length).max(budget) + 6.0,
            bar.value,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_lengths_are_proportional_to_values() {
        let bar = |label: &str, value| Bar { label: label.to_owned(), value, budget: 2.0 };
        let svg = svg("R < budget", &[bar("a", 1.0), bar("b", 4.0)]);
        assert!(svg.contains("R &lt; budget") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("width=\"117.5\" height=\"14\" fill=\"#2b7a78\""));
        assert!(svg.contains("width=\"470.0\" height=\"14\" fill=\"#b4532a\""));
    }
}
