//! The text files under version control, in memory.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::shell;

/// Texts by path, relative to the root of the repository. Checks read nothing else, so that tests can plant
/// violations without a file.
#[derive(Default)]
pub struct Tree(pub BTreeMap<String, String>);

impl Tree {
    /// Reads the work tree: tracked files, and new ones that are not ignored. Binary files are left out.
    ///
    /// # Errors
    /// Git does not list the files.
    pub fn read() -> Result<Self> {
        let root = shell::root();
        let mut git = Command::new("git");
        git.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = shell::output(&mut git)?;
        let texts = listed.split_terminator('\0').filter_map(|path| {
            // Binary files, links to folders and files that are deleted but still in the index.
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some((path.to_owned(), text))
        });
        Ok(Self(texts.collect()))
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into())
    }
}
