//! Files that import each other in a loop.
//!
//! A file imports what it names, wherever that is re-exported from: the edge leads to the file that defines
//! it. `mod child;` is not an import, `pub use child::Name` is one. A module and the files below it are one
//! design: what they take from the module itself (`super::Name`) is not an edge, or every parent that calls
//! its children would be a cycle. Test code may import anything.

use std::collections::BTreeMap;

use super::modules::{How, Resolved, Workspace};
use super::violation::Violation;

/// Where, and by which path, a file imports another for the first time.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The line of the path.
    pub line: usize,
    /// The path as written.
    pub path: String,
}

/// Edges by the file that imports and the file that is imported.
pub type Graph = BTreeMap<String, BTreeMap<String, Edge>>;

/// The imports between files.
pub fn graph(workspace: &Workspace) -> Graph {
    let mut graph = Graph::new();
    for (krate, module, reference) in workspace.references() {
        if reference.test || reference.how == How::Method {
            continue;
        }
        let Resolved::Ours { defined, .. } = workspace.resolve(krate, module, &reference.segments) else {
            continue;
        };
        let (module, imported) = (workspace.module(krate, module), workspace.module(defined.0, defined.1));
        let (from, to) = (&module.file, &imported.file);
        if from == to || (krate == defined.0 && module.path.starts_with(&imported.path)) {
            continue;
        }
        let edge = Edge { line: reference.line, path: reference.segments.join("::") };
        let first = graph.entry(from.clone()).or_default().entry(to.clone()).or_insert_with(|| edge.clone());
        if edge.line < first.line {
            *first = edge;
        }
    }
    graph
}

/// One violation for each group of files that all import each other, directly or not.
pub fn check(graph: &Graph) -> Vec<Violation> {
    components(graph)
        .iter()
        .filter(|component| component.len() > 1)
        .map(|component| describe(graph, component))
        .collect()
}

fn describe(graph: &Graph, component: &[&str]) -> Violation {
    let round = shortest(graph, component);
    let edge = |pair: &[&str]| &graph[pair[0]][pair[1]];
    let mut what = format!("import cycle of {} files: {}", component.len(), round.join(" → "));
    for (from, imports) in graph.iter().filter(|(from, _)| component.contains(&from.as_str())) {
        for (to, edge) in imports.iter().filter(|(to, _)| component.contains(&to.as_str())) {
            what.push_str(&format!("\n  {from}:{}: imports {to} (`{}`)", edge.line, edge.path));
        }
    }
    Violation {
        path: round[0].to_owned(),
        line: edge(&round[..2]).line,
        what: what + "\n ",
        remedy: "move what both need to a lower file".to_owned(),
    }
}

/// A shortest way from a file of the component back to itself.
fn shortest<'a>(graph: &'a Graph, component: &[&'a str]) -> Vec<&'a str> {
    let ways = component.iter().filter_map(|&start| {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for to in graph.get(at).into_iter().flat_map(BTreeMap::keys).map(String::as_str) {
                if !component.contains(&to) || before.contains_key(to) {
                    continue;
                }
                before.insert(to, at);
                queue.push_back(to);
            }
        }
        let mut way = vec![start, *before.get(start)?];
        while way.last() != Some(&start) {
            way.push(before[way[way.len() - 1]]);
        }
        way.reverse();
        Some(way)
    });
    ways.min_by_key(Vec::len).unwrap_or_default()
}

/// Strongly connected components, lowest first (Tarjan).
pub fn components(graph: &Graph) -> Vec<Vec<&str>> {
    let mut search = Search { graph, index: BTreeMap::new(), stack: Vec::new(), done: Vec::new() };
    for file in graph.keys() {
        if !search.index.contains_key(file.as_str()) {
            search.visit(file);
        }
    }
    search.done
}

struct Search<'a> {
    graph: &'a Graph,
    /// The order of discovery.
    index: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    done: Vec<Vec<&'a str>>,
}

impl<'a> Search<'a> {
    /// The lowest index that can be reached.
    fn visit(&mut self, file: &'a str) -> usize {
        let index = self.index.len();
        self.index.insert(file, index);
        self.stack.push(file);
        let mut low = index;
        let graph = self.graph;
        for to in graph.get(file).into_iter().flat_map(BTreeMap::keys).map(String::as_str) {
            match self.index.get(to) {
                None => low = low.min(self.visit(to)),
                Some(&found) if self.stack.contains(&to) => low = low.min(found),
                Some(_) => {}
            }
        }
        if low == index
            && let Some(start) = self.stack.iter().position(|&at| at == file)
        {
            self.done.push(self.stack.split_off(start));
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::modules::Target;
    use crate::lint::tree::Tree;

    fn found(tree: &Tree) -> Vec<Violation> {
        let target = Target { name: "a".into(), root: "a/lib.rs".into(), library: true };
        check(&graph(&Workspace::load(tree, &[target])))
    }

    #[test]
    fn a_cycle_is_reported_with_the_line_of_each_import() {
        let tree = Tree::from([
            ("a/lib.rs", "mod one; mod two; mod three;"),
            ("a/one.rs", "\nuse crate::two::Two;\npub struct One;"),
            ("a/two.rs", "pub struct Two;\nfn f() { super::three::g(); }"),
            ("a/three.rs", "use super::{one::One};\npub fn g() {}"),
        ]);
        let [cycle] = &found(&tree)[..] else { panic!("{:?}", found(&tree)) };
        let text = cycle.to_string();
        assert!(
            text.starts_with(
                "a/one.rs:2: import cycle of 3 files: a/one.rs → a/two.rs → a/three.rs → a/one.rs"
            ),
            "{text}"
        );
        for line in [
            "  a/one.rs:2: imports a/two.rs (`crate::two::Two`)",
            "  a/three.rs:1: imports a/one.rs (`super::one::One`)",
            "  a/two.rs:2: imports a/three.rs (`super::three::g`)",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }

    #[test]
    fn siblings_that_meet_in_their_parent_are_a_cycle() {
        let tree = Tree::from([
            ("a/lib.rs", "mod x;"),
            ("a/x/mod.rs", "mod one;\nmod two;\npub use one::One;\npub use two::Two;"),
            ("a/x/one.rs", "use super::Two;\npub struct One;"),
            ("a/x/two.rs", "use super::One;\npub struct Two;"),
        ]);
        assert_eq!(found(&tree).len(), 1);
    }

    #[test]
    fn parents_children_and_tests_are_none() {
        let tree = Tree::from([
            ("a/lib.rs", "mod x;\npub use x::X;"),
            ("a/x/mod.rs", "mod child;\npub use child::Y;\npub struct X;"),
            ("a/x/child.rs", "use super::X;\npub struct Y;\n#[cfg(test)]\nmod tests { use crate::X; }"),
        ]);
        assert_eq!(found(&tree), []);
    }
}
