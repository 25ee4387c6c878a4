//! The charts of the page. Their data is also in their descriptions or in tables.

use observer_common::counters::Total;

use super::svg::{Svg, axis};
use crate::model::compare::{Comparison, Decomposition, Side, Unit};
use crate::view::compare::labels;
use crate::view::units;

/// Width of a half-width chart, in CSS pixels.
const HALF: f64 = 490.0;
/// Width of a full-width chart.
const WIDTH: f64 = 760.0;
const NAMES: [&str; 2] = ["before", "after"];

/// A side's parts per 100 inner bytes: native, encapsulated, overhead. `None` without pod traffic.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn parts(side: &Side) -> Option<[f64; 3]> {
    let pods = side.total.pods();
    let inner = pods.get(Total::InnerBytes);
    let of = |bytes: u64| bytes as f64 / inner as f64 * 100.0;
    let (native, tunnelled) =
        (side.total.native.get(Total::InnerBytes), side.total.tunnelled.get(Total::InnerBytes));
    (inner != 0).then(|| [of(native), of(tunnelled), of(pods.overhead_bytes())])
}

/// 100 pod bytes on the underlay.
pub(super) fn composition(of: &Comparison) -> String {
    let sides = [parts(&of.before), parts(&of.after)];
    let texts = NAMES.iter().zip(&sides).map(|(name, side)| match side {
        None => format!("{name}: no pod traffic"),
        Some([native, tunnelled, overhead]) => {
            format!("{name}: {native:.1} bytes native, {tunnelled:.1} encapsulated, {overhead:.2} overhead")
        }
    });
    let description = texts.collect::<Vec<_>>().join("; ");
    let mut svg = Svg::new("mix", HALF, 150.0, "100 pod bytes on the underlay", &description);
    let most = sides.iter().flatten().map(|parts| parts.iter().sum::<f64>()).fold(100.0, f64::max);
    let (left, scale) = (60.0, (HALF - 70.0) / most);
    for (nth, side) in sides.iter().enumerate() {
        let y = 8.0 + 50.0 * nth as f64;
        svg.text("end", left - 8.0, y + 23.0, NAMES[nth]);
        let Some(parts) = side else {
            svg.text("small", left, y + 23.0, "no pod traffic");
            continue;
        };
        let mut x = left;
        for (class, bytes) in ["f-native", "f-inner", "f-overhead"].into_iter().zip(parts) {
            svg.bar(class, x, y, bytes * scale, 36.0);
            x += bytes * scale;
        }
    }
    let mut x = left;
    for (class, name) in
        [("f-native", "pods, native"), ("f-inner", "pods, encapsulated"), ("f-overhead", "overhead")]
    {
        svg.bar(class, x, 120.0, 12.0, 12.0);
        svg.text("small", x + 18.0, 131.0, name);
        x += 160.0;
    }
    svg.finish()
}

/// The overhead ratio over time.
pub(super) fn curve(of: &Comparison) -> String {
    let curves = [&of.before.curve, &of.after.curve];
    let all = || curves.iter().flat_map(|curve| curve.iter());
    let length = all().map(|point| point.seconds).fold(0.0, f64::max).max(1e-9);
    let (most, step) = axis(all().filter_map(|point| point.overhead).fold(0.0, f64::max) * 100.0);
    let range = |nth: usize| {
        let values: Vec<f64> = curves[nth].iter().filter_map(|point| point.overhead).collect();
        let (least, most) = values.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), v| (l.min(*v), m.max(*v)));
        let name = NAMES[nth];
        if values.is_empty() {
            format!("{name}: none")
        } else {
            format!("{name}: between {} and {}", units::ratio(Some(least)), units::ratio(Some(most)))
        }
    };
    let description = format!("{}; {}", range(0), range(1));
    let (left, top, bottom, right) = (52.0, 12.0, 208.0, HALF - 12.0);
    let mut svg =
        Svg::new("curve", HALF, 250.0, "Overhead of pod traffic over time, % of L3 bytes", &description);
    let x = |seconds: f64| left + seconds / length * (right - left);
    let y = |percent: f64| bottom - percent / most * (bottom - top);
    let mut mark = 0.0;
    while mark <= most + step / 2.0 {
        svg.line(if mark == 0.0 { "axis" } else { "grid" }, (left, y(mark)), (right, y(mark)));
        svg.text("small end", left - 6.0, y(mark) + 4.0, format!("{} %", trimmed(mark)));
        mark += step;
    }
    for (nth, curve) in curves.iter().enumerate() {
        // Gaps where there was no traffic.
        for run in curve.split(|point| point.overhead.is_none()) {
            let points: Vec<(f64, f64)> =
                run.iter().filter_map(|p| Some((x(p.seconds), y(p.overhead? * 100.0)))).collect();
            svg.path(["l-before", "l-after"][nth], &points);
        }
        let key = left + 120.0 * nth as f64;
        svg.line(["l-before", "l-after"][nth], (key, 238.0), (key + 26.0, 238.0));
        svg.text("small", key + 32.0, 242.0, NAMES[nth]);
    }
    svg.text("small", left, 224.0, "0 s");
    svg.text("small end", right, 224.0, format!("{length:.0} s"));
    svg.finish()
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The change of the overhead ratio, effect by effect.
pub(super) fn effects(parts: &Decomposition) -> String {
    let rows = 2 + parts.effects.len();
    let height = 30.0 * rows as f64 + 10.0;
    let mut svg = Svg::new("effects", WIDTH, height, "Why the overhead changed", &labels::decomposed(parts));
    let mut level = parts.ratios[0];
    let mut levels = vec![level, parts.ratios[1]];
    for (_, part) in &parts.effects {
        level += part.value;
        levels.push(level);
    }
    let (least, most) = levels.iter().fold((0.0_f64, 0.0_f64), |(l, m), v| (l.min(*v), m.max(*v)));
    let (left, right) = (285.0, WIDTH - 125.0);
    let x = |ratio: f64| left + (ratio - least) / (most - least).max(1e-9) * (right - left);
    let end = |svg: &mut Svg, nth: usize, name: &str, class: &str, ratio: f64| {
        let y = 30.0 * nth as f64 + 6.0;
        svg.text("end", left - 10.0, y + 15.0, name);
        svg.bar(class, x(0.0), y, x(ratio) - x(0.0), 20.0);
        svg.text("", x(ratio) + 6.0, y + 15.0, units::ratio(Some(ratio)));
    };
    end(&mut svg, 0, "before", "f-before", parts.ratios[0]);
    let mut level = parts.ratios[0];
    for (nth, (effect, part)) in parts.effects.iter().enumerate() {
        let y = 30.0 * (nth + 1) as f64 + 6.0;
        svg.text("end", left - 10.0, y + 15.0, effect.title());
        let class = if part.value < 0.0 { "f-less" } else { "f-more" };
        svg.line("grid", (x(level), y - 4.0), (x(level), y + 22.0));
        svg.bar(class, x(level), y, x(level + part.value) - x(level), 20.0);
        let label_x = x(level.max(level + part.value)) + 6.0;
        svg.text("", label_x, y + 15.0, labels::difference(Unit::Ratio, part.value));
        level += part.value;
    }
    end(&mut svg, rows - 1, "after", "f-after", parts.ratios[1]);
    svg.line("axis", (x(0.0), 2.0), (x(0.0), height - 4.0));
    svg.finish()
}

/// Packet sizes of both sides.
pub(super) fn sizes(of: &Comparison) -> String {
    let classes = labels::size_classes(of);
    let most = classes.iter().flat_map(|(_, class)| class.shares).flatten().fold(0.0, f64::max).max(1e-9);
    let height = 30.0 * classes.len() as f64 + 34.0;
    let description = "the table has the same figures";
    let mut svg =
        Svg::new("sizes", WIDTH, height, "Packet sizes of pod traffic, shares of packets", description);
    let (left, right) = (112.0, WIDTH - 70.0);
    for (nth, (name, class)) in classes.iter().enumerate() {
        let y = 30.0 * nth as f64 + 4.0;
        svg.text("end", left - 8.0, y + 17.0, name);
        for (side, share) in class.shares.into_iter().enumerate() {
            let (y, width) = (y + 12.0 * side as f64, share.unwrap_or(0.0) / most * (right - left));
            svg.bar(["f-before", "f-after"][side], left, y, width, 11.0);
            svg.text("small", left + width + 5.0, y + 10.0, units::ratio(share));
        }
    }
    svg.line("axis", (left, 0.0), (left, height - 30.0));
    for (side, name) in NAMES.into_iter().enumerate() {
        let x = left + 110.0 * side as f64;
        svg.bar(["f-before", "f-after"][side], x, height - 20.0, 12.0, 12.0);
        svg.text("small", x + 18.0, height - 9.0, name);
    }
    svg.finish()
}

/// A relative change and its interval on a scale from −100 % to +100 %, for a table cell.
pub(super) fn glyph(id: &str, relative: f64, margin: Option<f64>) -> String {
    let (width, middle) = (120.0, 60.0);
    let x = |ratio: f64| middle + ratio.clamp(-1.0, 1.0) * (middle - 4.0);
    let text = match margin {
        Some(margin) => format!("{:+.1} % ± {:.1}", relative * 100.0, margin * 100.0),
        None => format!("{:+.1} %", relative * 100.0),
    };
    let mut svg = Svg::new(&format!("g-{id}"), width, 18.0, "relative change", &text);
    svg.line("grid", (4.0, 9.0), (width - 4.0, 9.0));
    svg.line("axis", (middle, 2.0), (middle, 16.0));
    let class = if relative < 0.0 { "f-less" } else { "f-more" };
    svg.bar(class, middle, 5.0, x(relative) - middle, 8.0);
    if let Some(margin) = margin {
        svg.line("whisker", (x(relative - margin), 9.0), (x(relative + margin), 9.0));
    }
    svg.finish()
}
