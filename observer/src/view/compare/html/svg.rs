//! A minimal SVG writer for the charts.

use std::fmt::{Display, Write as _};

/// Escapes text for use between tags and in attributes.
pub(super) fn escaped(text: impl Display) -> String {
    text.to_string().chars().fold(String::new(), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
        escaped
    })
}

/// A drawing with an accessible title and description.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// Starts a drawing of that size; `id` must be unique on the page.
    pub(super) fn new(id: &str, width: f64, height: f64, title: &str, description: &str) -> Self {
        let mut text = String::new();
        let _ = write!(
            text,
            r#"<svg viewBox="0 0 {width:.0} {height:.0}" role="img" aria-labelledby="{id}-t {id}-d"><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>"#,
            escaped(title),
            escaped(description)
        );
        Self { text }
    }

    /// A rectangle; a negative width extends to the left.
    pub(super) fn bar(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let (x, width) = if width < 0.0 { (x + width, -width) } else { (x, width) };
        let _ = write!(
            self.text,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
    }

    /// A line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = write!(
            self.text,
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(self.text, r#"<polyline class="{class}" points="{}"/>"#, points.join(" "));
    }

    /// Text; class `end` or `middle` aligns it at `x`.
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: impl Display) {
        let _ = write!(self.text, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(text));
    }

    /// The drawing.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}

/// A round upper end of an axis, and the step for about five marks.
pub(super) fn axis(largest: f64) -> (f64, f64) {
    if !largest.is_finite() || largest <= 0.0 {
        return (1.0, 0.5);
    }
    let rough = largest / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    ((largest / step).ceil() * step, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let cases = [
            (0.093, (0.1, 0.02)),
            (1.0, (1.0, 0.2)),
            (7.3, (8.0, 2.0)),
            (0.0, (1.0, 0.5)),
            (61.0, (80.0, 20.0)),
        ];
        for (largest, (end, step)) in cases {
            let found = axis(largest);
            assert!((found.0 - end).abs() < 1e-9 && (found.1 - step).abs() < 1e-9, "{largest}: {found:?}");
        }
    }

    #[test]
    fn untrusted_text_is_not_markup() {
        assert_eq!(escaped("<a href=\"x\">&\n"), "&lt;a href=&quot;x&quot;&gt;&amp; ");
    }
}
