//! Writes the "newc" cpio format of an initramfs.

use std::collections::BTreeSet;

/// An uncompressed archive that grows in memory.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
    inode: u32,
}

/// Mode and device of an entry.
struct Kind {
    mode: u32,
    device: (u32, u32),
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

impl Archive {
    /// An archive with its root directory. Its mode has to be 755, because programs that drop privileges cannot pass
    /// the kernel's default.
    pub fn new() -> Self {
        let mut archive = Self::default();
        archive.push(".", &Kind { mode: DIRECTORY | 0o755, device: (0, 0) }, &[]);
        archive
    }

    /// A directory, with the directories above it.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.names.contains(path) {
            return;
        }
        self.parents(path);
        self.push(path, &Kind { mode: DIRECTORY | 0o755, device: (0, 0) }, &[]);
    }

    /// A regular file; the first of several at one path stays.
    pub fn file(&mut self, path: &str, permissions: u32, contents: &[u8]) {
        self.entry(path, &Kind { mode: REGULAR | (permissions & 0o7777), device: (0, 0) }, contents);
    }

    /// A symbolic link; the first of several at one path stays.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.entry(path, &Kind { mode: SYMLINK | 0o777, device: (0, 0) }, target.as_bytes());
    }

    /// A character device.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, &Kind { mode: CHARACTER | 0o600, device: (major, minor) }, &[]);
    }

    /// Ends the archive and returns its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.push("TRAILER!!!", &Kind { mode: 0, device: (0, 0) }, &[]);
        // Loaders round up to 512; the kernel skips zeros between archives.
        while !self.bytes.len().is_multiple_of(512) {
            self.bytes.push(0);
        }
        self.bytes
    }

    fn entry(&mut self, path: &str, kind: &Kind, contents: &[u8]) {
        let path = path.trim_start_matches('/');
        if self.names.contains(path) {
            return;
        }
        self.parents(path);
        self.push(path, kind, contents);
    }

    /// The kernel silently drops a file whose directory is missing.
    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn push(&mut self, name: &str, kind: &Kind, contents: &[u8]) {
        let size = u32::try_from(contents.len()).expect("a newc entry holds less than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("a path is short");
        let fields: [u32; 13] =
            [self.inode, kind.mode, 0, 0, 1, 0, size, 0, 0, kind.device.0, kind.device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        self.names.insert(name.to_owned());
        self.inode += 1;
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads names, modes and contents.
    fn read(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&bytes[at..at + 6], b"070701", "no magic at {at}");
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                let text = std::str::from_utf8(&bytes[start..start + 8]).expect("ASCII");
                usize::from_str_radix(text, 16).expect("hexadecimal")
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name_start = at + 110;
            let name = &bytes[name_start..name_start + name_size - 1];
            assert_eq!(bytes[name_start + name_size - 1], 0);
            let data = (name_start + name_size).next_multiple_of(4);
            let name = String::from_utf8(name.to_vec()).expect("UTF-8");
            if name == "TRAILER!!!" {
                assert_eq!(bytes.len() % 512, 0);
                return entries;
            }
            let mode = u32::try_from(mode).expect("32 bits");
            entries.push((name, mode, bytes[data..data + size].to_vec()));
            at = (data + size).next_multiple_of(4);
        }
    }

    #[test]
    fn parents_precede_their_entries() {
        let mut archive = Archive::new();
        archive.file("/usr/bin/tool", 0o755, b"12345");
        archive.symlink("bin", "usr/bin");
        archive.directory("/usr/bin/");
        archive.character_device("dev/console", 5, 1);
        let entries = read(&archive.finish());
        let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, [".", "usr", "usr/bin", "usr/bin/tool", "bin", "dev", "dev/console"]);
        assert_eq!(entries[0].1, 0o040_755);
        assert_eq!((entries[3].1, entries[3].2.as_slice()), (0o100_755, b"12345".as_slice()));
        assert_eq!((entries[4].1, entries[4].2.as_slice()), (0o120_777, b"usr/bin".as_slice()));
        assert_eq!(entries[6].1, 0o020_600);
    }

    #[test]
    fn first_of_two_files_with_the_same_path_is_kept() {
        let mut archive = Archive::new();
        archive.file("bin/ip", 0o755, b"real");
        archive.symlink("bin/ip", "busybox");
        let entries = read(&archive.finish());
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[2].2, b"real");
    }
}
