//! The comparison as one page: no script, nothing loaded from anywhere, readable when printed.

mod charts;
mod svg;

use std::fmt::Write as _;

use svg::escaped;

use super::labels;
use crate::model::compare::{Better, Compared, Comparison, Group, Outcome, Side};
use crate::view::units;

const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn page(of: &Comparison) -> String {
    let modes = [labels::side_modes(&of.before), labels::side_modes(&of.after)];
    let title = format!("{} → {}", modes[0], modes[1]);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Observer: {0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
         <h1>Before and after: <span class=\"mode\">{0}</span></h1>\n<p class=\"quiet\">{1}</p>\n</header>\n<main>\n",
        escaped(&title),
        escaped(subtitle(of)),
    );
    verdicts(&mut text, of);
    tiles(&mut text, of);
    figures(&mut text, of);
    tables(&mut text, of);
    remarks(&mut text, of);
    recordings(&mut text, of);
    let _ = write!(
        text,
        "</main>\n<footer class=\"quiet\">Made by Observer {}. Figures of the underlay devices; pod traffic is \
         what is encapsulated or routed natively to pods of other nodes.</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    text
}

fn subtitle(of: &Comparison) -> String {
    let side = |side: &Side| {
        let mut nodes: Vec<&str> = side.recordings.iter().map(|recorded| recorded.node.as_str()).collect();
        nodes.dedup();
        let nodes = if nodes.len() > 3 { format!("{} nodes", nodes.len()) } else { nodes.join(", ") };
        format!("{nodes}, {}", units::duration(side.length()))
    };
    format!("Before: {}. After: {}.", side(&of.before), side(&of.after))
}

const fn symbol(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Reached => "✓",
        Outcome::NotReached => "=",
        Outcome::Worse => "✗",
        Outcome::CannotTell => "?",
    }
}

fn verdicts(text: &mut String, of: &Comparison) {
    text.push_str("<section>\n<h2>Was it worth it?</h2>\n<ul class=\"verdicts\">\n");
    for verdict in &of.verdicts {
        let _ = writeln!(
            text,
            "<li class=\"{}\"><b>{}</b><span class=\"outcome\"><span aria-hidden=\"true\">{} </span>{}</span> \
             <span class=\"why\">{}</span></li>",
            verdict.outcome.label(),
            capital(verdict.aim.title()),
            symbol(verdict.outcome),
            verdict.outcome.title(),
            escaped(&verdict.reason)
        );
    }
    text.push_str("</ul>\n");
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The figures that most people came for.
const TILES: [&str; 4] = ["encapsulated_packets", "overhead_ratio", "wire_bytes_per_inner_byte", "fragments"];

fn tiles(text: &mut String, of: &Comparison) {
    text.push_str("<dl class=\"tiles\">\n");
    for row in TILES.iter().filter_map(|id| of.row(id)) {
        let value = |figure: Option<crate::model::compare::Estimate>| {
            figure.map_or_else(|| units::UNKNOWN.to_owned(), |f| labels::value(row.metric.unit, f.value))
        };
        let unit = if row.metric.group == Group::Size { ", per million packets" } else { "" };
        let _ = writeln!(
            text,
            "<div><dt>{}{unit}</dt><dd>{} → {}<small>{}</small></dd></div>",
            escaped(capital(row.metric.title)),
            escaped(value(row.before)),
            escaped(value(row.after)),
            escaped(labels::change(row.metric.unit, row.change)),
        );
    }
    text.push_str("</dl>\n</section>\n");
}

fn figure(text: &mut String, title: &str, caption: &str, inside: &str) {
    let _ = writeln!(
        text,
        "<figure>\n<h3>{}</h3>\n<figcaption>{}</figcaption>\n{inside}\n</figure>",
        escaped(title),
        escaped(caption)
    );
}

fn figures(text: &mut String, of: &Comparison) {
    text.push_str("<section>\n<h2>What changed, and why</h2>\n");
    let mix: Vec<Vec<String>> = of
        .mix
        .iter()
        .map(|(class, shares)| {
            vec![class.label().to_owned(), units::ratio(shares[0]), units::ratio(shares[1])]
        })
        .collect();
    let inside = charts::composition(of)
        + &table("L3 bytes of pod traffic by encapsulation", &["encapsulation", "before", "after"], 1, &mix);
    let caption = "What 100 inner bytes, those of the pods' own packets, become on the underlay.";
    text.push_str("<div class=\"pair\">\n");
    figure(text, "100 bytes of pods on the underlay", caption, &inside);
    let curve: Vec<Vec<String>> = [("before", &of.before), ("after", &of.after)]
        .iter()
        .flat_map(|(name, side)| {
            side.curve
                .iter()
                .map(move |p| vec![(*name).to_owned(), format!("{:.1}", p.seconds), units::ratio(p.overhead)])
        })
        .collect();
    let inside = format!(
        "{}\n<details><summary>The same as a table</summary>{}</details>",
        charts::curve(of),
        table("Overhead over time", &["side", "seconds", "overhead"], 1, &curve)
    );
    let caption = "Share of the L3 bytes of pod traffic, since each recording began.";
    figure(text, "Overhead of pod traffic over time", caption, &inside);
    text.push_str("</div>\n");
    if let Some(parts) = &of.decomposition {
        let rows: Vec<Vec<String>> =
            parts.effects.iter().map(|(effect, part)| labels::effect(*effect, *part).to_vec()).collect();
        let inside = charts::effects(parts) + &table("Effects", &["effect", "decided by", "adds"], 2, &rows);
        figure(text, "Why the overhead changed", &labels::decomposed(parts), &inside);
    }
    let sizes: Vec<Vec<String>> = labels::size_classes(of)
        .into_iter()
        .map(|(name, class)| vec![name, units::ratio(class.shares[0]), units::ratio(class.shares[1])])
        .collect();
    let inside = format!(
        "{}\n<details><summary>The same as a table</summary>{}</details>",
        charts::sizes(of),
        table("Packets by size", &["bytes", "before", "after"], 1, &sizes)
    );
    figure(text, "Packet sizes", "Packets of pod traffic on the underlay by L3 bytes.", &inside);
    text.push_str("</section>\n");
}

/// A table whose first `left` columns are text; the first is the row's heading.
fn table(caption: &str, titles: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    let mut text =
        format!("<div class=\"scroll\"><table>\n<caption>{}</caption>\n<thead><tr>", escaped(caption));
    let class = |nth: usize| if nth < left { " class=\"text\"" } else { "" };
    for (nth, title) in titles.iter().enumerate() {
        let _ = write!(text, "<th scope=\"col\"{}>{}</th>", class(nth), escaped(title));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for (nth, cell) in row.iter().enumerate() {
            let _ = match nth {
                0 => write!(text, "<th scope=\"row\">{}</th>", escaped(cell)),
                _ => write!(text, "<td{}>{}</td>", class(nth), escaped(cell)),
            };
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div>\n");
    text
}

fn tables(text: &mut String, of: &Comparison) {
    let _ = writeln!(
        text,
        "<section>\n<h2>All figures</h2>\n<p class=\"quiet\">{}</p>",
        escaped(labels::confidence())
    );
    for group in Group::ALL {
        let rows: Vec<&Compared> =
            of.rows.iter().filter(|row| row.metric.group == group && row.is_shown()).collect();
        let glyphs: Vec<String> = rows.iter().map(|row| glyph(row)).collect();
        let drawn = glyphs.iter().any(|glyph| !glyph.is_empty());
        let _ = writeln!(
            text,
            "<div class=\"scroll\"><table>\n<caption>{}</caption>\n<thead><tr>",
            escaped(group.title())
        );
        for title in labels::TITLES {
            let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(title.to_lowercase()));
        }
        if drawn {
            text.push_str("<th scope=\"col\">−100 % … +100 %</th>");
        }
        text.push_str("</tr></thead>\n<tbody>\n");
        for (row, glyph) in rows.iter().zip(glyphs) {
            let [name, rest @ ..] = labels::cells(row);
            let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escaped(name));
            for cell in rest {
                let _ = write!(text, "<td>{}</td>", escaped(cell));
            }
            let _ = if drawn { writeln!(text, "<td>{glyph}</td></tr>") } else { writeln!(text, "</tr>") };
        }
        text.push_str("</tbody>\n</table></div>\n");
    }
    text.push_str("</section>\n");
}

/// The change as a small drawing, where less is better and there was something before.
fn glyph(row: &Compared) -> String {
    match (labels::relative_change(row), row.before, row.change) {
        (Some(relative), Some(before), Some(change)) if row.metric.better == Better::Lower => {
            charts::glyph(row.metric.id, relative, change.margin.map(|margin| margin / before.value))
        }
        _ => String::new(),
    }
}

fn remarks(text: &mut String, of: &Comparison) {
    text.push_str("<section>\n<h2>What limits the comparison</h2>\n");
    if of.remarks.is_empty() {
        text.push_str("<p>Nothing that was found.</p>\n");
    } else {
        text.push_str("<ul class=\"remarks\">\n");
        for remark in &of.remarks {
            let weight = remark.weight.label();
            let _ = writeln!(
                text,
                "<li><span class=\"{weight}\">{weight}</span>: {}</li>",
                escaped(units::printable(&remark.text))
            );
        }
        text.push_str("</ul>\n");
    }
    text.push_str("</section>\n");
}

fn recordings(text: &mut String, of: &Comparison) {
    let rows: Vec<Vec<String>> = [("before", &of.before), ("after", &of.after)]
        .iter()
        .flat_map(|(name, side)| {
            side.recordings
                .iter()
                .map(move |r| std::iter::once((*name).to_owned()).chain(labels::recorded(r)).collect())
        })
        .collect();
    let titles = ["side", "file", "node", "mode", "time", "length"];
    let _ = write!(text, "<section>\n<h2>Recordings</h2>\n{}</section>\n", table("", &titles, 6, &rows));
}
