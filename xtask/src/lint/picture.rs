//! The imports between folders as a Mermaid diagram.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::cycles::{Edge, Graph, components};
use super::violation::Violation;

/// The page that shows the diagram.
pub const PAGE: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- imports: cargo xtask docs -->\n```mermaid\n";
const END: &str = "```\n<!-- /imports -->";

/// The page's text before and after its diagram, and the diagram.
fn parts(page: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (shown, after) = rest.split_once(END)?;
    Some((before, shown, after))
}

/// The page with this diagram; `None` if it has no marks for one.
pub fn insert(page: &str, diagram: &str) -> Option<String> {
    let (before, _, after) = parts(page)?;
    Some(format!("{before}{BEGIN}{diagram}{END}{after}"))
}

/// The page must show the current diagram.
pub fn check(page: &str, diagram: &str) -> Option<Violation> {
    let shown = parts(page).map(|(_, shown, _)| shown);
    (shown != Some(diagram)).then(|| Violation {
        path: PAGE.to_owned(),
        line: page.find(BEGIN).map_or(1, |at| page[..at].matches('\n').count() + 1),
        what: "the diagram of imports is not current".to_owned(),
        remedy: "run `cargo xtask docs`".to_owned(),
    })
}

/// A diagram of the folders of the product crate and of the other crates. An arrow that other arrows imply
/// is left out; folders that import each other keep all of theirs.
pub fn mermaid(files: &Graph) -> String {
    let mut folders = Graph::new();
    for (from, imports) in files {
        for (to, edge) in imports {
            let (Some(from), Some(to)) = (folder(from), folder(to)) else { continue };
            folders.entry(to.clone()).or_default();
            let row = folders.entry(from.clone()).or_default();
            if from != to {
                row.entry(to).or_insert_with(|| Edge::clone(edge));
            }
        }
    }
    draw(&folders)
}

/// `observer/src/view/tui/app.rs` is in `observer/view`, `observer/src/pem.rs` in `observer/pem`; all files
/// of another crate are one folder. Build scripts and examples are in none.
fn folder(file: &str) -> Option<String> {
    let (krate, path) = file.split_once("/src/")?;
    if krate != "observer" {
        return (!krate.ends_with("/fuzz")).then(|| krate.to_owned());
    }
    let top = path.split('/').next().unwrap_or(path);
    Some(format!("observer/{}", top.trim_end_matches(".rs")))
}

fn draw(folders: &Graph) -> String {
    let reach = reach(folders);
    let mut text = String::from("flowchart TD\n");
    let (inside, outside): (Vec<_>, Vec<_>) =
        folders.keys().partition(|folder| folder.starts_with("observer/"));
    text.push_str("    subgraph observer\n");
    for folder in inside {
        _ = writeln!(text, "        {}", node(folder));
    }
    text.push_str("    end\n");
    for folder in outside {
        _ = writeln!(text, "    {}", node(folder));
    }
    for (from, imports) in folders {
        for to in imports.keys().map(String::as_str) {
            let mut others = imports.keys().map(String::as_str).filter(|&other| other != to);
            let implied =
                others.any(|other| reach[other].contains(to) && !reach[other].contains(from.as_str()));
            if !implied {
                _ = writeln!(text, "    {} --> {}", name(from), name(to));
            }
        }
    }
    text
}

/// Every folder that a folder imports, directly or not.
fn reach(folders: &Graph) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut reach: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // Components come lowest first, so that what a folder imports is known when its turn comes.
    for component in components(folders) {
        let mut below = BTreeSet::new();
        for to in component.iter().flat_map(|&at| folders[at].keys()).map(String::as_str) {
            below.insert(to);
            below.extend(reach.get(to).into_iter().flatten());
        }
        for at in component {
            reach.insert(at, below.clone());
        }
    }
    reach
}

/// A folder's node with its label.
fn node(folder: &str) -> String {
    format!("{}[\"{}\"]", name(folder), folder.strip_prefix("observer/").unwrap_or(folder))
}

/// The name of a node, which has neither slashes nor hyphens.
fn name(folder: &str) -> String {
    folder.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outdated_diagram_is_reported_and_replaced() {
        let page = format!("# Layers\n\n{BEGIN}flowchart TD\n{END}\nmore\n");
        assert_eq!(check(&page, "flowchart TD\n"), None);
        let violation = check(&page, "flowchart LR\n").expect("another diagram");
        assert_eq!((violation.path.as_str(), violation.line), (PAGE, 3));
        let page = insert(&page, "flowchart LR\n").expect("marks");
        assert_eq!(check(&page, "flowchart LR\n"), None);
        assert!(page.ends_with("\nmore\n") && check("no marks\n", "").is_some());
    }

    #[test]
    fn an_arrow_that_others_imply_is_left_out() {
        let mut files = Graph::new();
        for (from, to) in [
            ("observer/src/view/a.rs", "observer/src/model/b.rs"),
            ("observer/src/view/a.rs", "observer/src/pem.rs"),
            ("observer/src/model/b.rs", "observer/src/model/c.rs"),
            ("observer/src/model/c.rs", "observer/src/pem.rs"),
            ("observer/src/pem.rs", "observer-common/src/lib.rs"),
            ("observer/build.rs", "observer/src/pem.rs"),
        ] {
            let edge = Edge { line: 1, path: String::new() };
            files.entry(from.to_owned()).or_default().insert(to.to_owned(), edge);
        }
        let expected = "\
flowchart TD
    subgraph observer
        observer_model[\"model\"]
        observer_pem[\"pem\"]
        observer_view[\"view\"]
    end
    observer_common[\"observer-common\"]
    observer_model --> observer_pem
    observer_pem --> observer_common
    observer_view --> observer_model
";
        assert_eq!(mermaid(&files), expected);
    }
}
