//! From files to modules: follows `mod name;` from the root of a crate.

use std::path::{Component, Path, PathBuf};

use super::parse::{Child, Parsed, parse};
use super::{Module, Target};
use crate::lint::tree::Tree;
use crate::lint::violation::Violation;

/// The modules of a crate; the first is the root.
pub fn modules(tree: &Tree, target: &Target, broken: &mut Vec<Violation>) -> Vec<Module> {
    let mut loader = Loader { tree, modules: Vec::new(), broken };
    let folder = parent(&target.root);
    loader.file(&target.root, &folder, Vec::new(), 0, false);
    loader.modules
}

struct Loader<'a> {
    tree: &'a Tree,
    modules: Vec<Module>,
    broken: &'a mut Vec<Violation>,
}

impl Loader<'_> {
    /// Reads the file of a module whose children are in `folder`. `None` if there is no such file.
    fn file(
        &mut self,
        file: &str,
        folder: &Path,
        path: Vec<String>,
        parent: usize,
        test: bool,
    ) -> Option<usize> {
        let text = self.tree.text(file)?;
        match parse(text, test) {
            Ok(parsed) => Some(self.module(file, folder, path, parent, parsed)),
            Err(error) => {
                self.broken.push(Violation {
                    path: file.to_owned(),
                    line: error.span().start().line,
                    what: format!("cannot parse the file: {error}"),
                    remedy: "make it compile first".to_owned(),
                });
                None
            }
        }
    }

    fn module(
        &mut self,
        file: &str,
        folder: &Path,
        path: Vec<String>,
        parent: usize,
        parsed: Parsed,
    ) -> usize {
        let at = self.modules.len();
        let Parsed { items, imports, globs, references, children } = parsed;
        self.modules.push(Module {
            path: path.clone(),
            file: file.to_owned(),
            parent,
            items,
            imports,
            globs,
            references,
            ..Module::default()
        });
        for Child { name, test, location, content } in children {
            let mut below = path.clone();
            below.push(name.clone());
            let child = match content {
                Some(content) => Some(self.module(file, &folder.join(&name), below, at, content)),
                None => self.child(file, folder, &name, location.as_deref(), below, at, test),
            };
            if let Some(child) = child {
                self.modules[at].children.insert(name, child);
            }
        }
        at
    }

    #[expect(clippy::too_many_arguments, reason = "private; it only finds the file for `file`")]
    fn child(
        &mut self,
        file: &str,
        folder: &Path,
        name: &str,
        location: Option<&str>,
        path: Vec<String>,
        parent_module: usize,
        test: bool,
    ) -> Option<usize> {
        if let Some(location) = location {
            // A file named by `#[path]` has its children next to it, as a mod.rs has.
            let found = text(&normal(&parent(file).join(location)));
            let folder = parent(&found);
            return self.file(&found, &folder, path, parent_module, test);
        }
        let below = folder.join(name);
        let beside = text(&folder.join(format!("{name}.rs")));
        if self.tree.text(&beside).is_some() {
            return self.file(&beside, &below, path, parent_module, test);
        }
        self.file(&text(&below.join("mod.rs")), &below, path, parent_module, test)
    }
}

fn parent(file: &str) -> PathBuf {
    Path::new(file).parent().unwrap_or(Path::new("")).to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `a/../b` is `b`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
