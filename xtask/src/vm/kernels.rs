//! Debian's cloud kernels: their versions, and unpacked copies in the cache.
//!
//! apt fetches the packages from the system's mirror with separate sources and lists, so the system's do not change.

use std::cmp::Ordering;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::shell;

/// A kernel that Observer is tested on.
pub struct Kernel {
    /// The name on the command line.
    pub series: &'static str,
    /// The release to use while the mirror has it; afterwards the newest of the series.
    pin: &'static str,
    /// Debian suites, of the main or security archive (`-security`).
    suites: &'static [&'static str],
    /// Its packages: text before and after the release.
    packages: &'static [(&'static str, &'static str)],
}

const IMAGE: &[(&str, &str)] = &[("linux-image-", "-cloud-amd64")];
/// From 7.2 on: kernel, modules, and files for depmod.
const SPLIT: &[(&str, &str)] =
    &[("linux-binary-", "-cloud-amd64"), ("linux-modules-", "-cloud-amd64"), ("linux-base-", "-cloud-amd64")];

/// All of them, oldest first.
pub const ALL: &[Kernel] = &[
    Kernel { series: "5.10", pin: "5.10.0-46", suites: &["bullseye-security"], packages: IMAGE },
    Kernel { series: "6.1", pin: "6.1.0-56", suites: &["bookworm", "bookworm-security"], packages: IMAGE },
    Kernel { series: "6.12", pin: "6.12.117+deb13", suites: &["trixie", "trixie-security"], packages: IMAGE },
    Kernel { series: "6.18", pin: "6.18.15+deb13", suites: &["trixie-backports"], packages: IMAGE },
    Kernel { series: "7.3", pin: "7.3.4+deb13", suites: &["trixie-backports"], packages: SPLIT },
];

/// A kernel in the cache.
pub struct Unpacked {
    /// The image that QEMU boots.
    pub image: PathBuf,
    /// `…/lib/modules/RELEASE`, with depmod's files.
    pub modules: PathBuf,
    /// The full release, as printed by `uname -r`.
    pub release: String,
}

impl Kernel {
    /// The kernel of a series.
    pub fn named(series: &str) -> Option<&'static Self> {
        ALL.iter().find(|kernel| kernel.series == series)
    }

    /// The pinned release.
    pub fn pin(&self) -> &'static str {
        self.pin
    }

    /// Named after the pin, so that a new pin is fetched and replaces an earlier fallback.
    fn directory(&self) -> PathBuf {
        cache().join("kernels").join(self.pin)
    }

    /// The copy in the cache, if there is one.
    pub fn cached(&self) -> Option<Unpacked> {
        let directory = self.directory();
        let release = fs::read_to_string(directory.join("release")).ok()?;
        let release = release.trim().to_owned();
        let modules = directory.join("lib/modules").join(&release);
        Some(Unpacked { image: directory.join("vmlinuz"), modules, release })
    }

    /// The copy in the cache, fetched and unpacked first if there is none.
    ///
    /// # Errors
    /// No mirror, a missing package, or one that does not unpack.
    pub fn obtain(&self) -> Result<Unpacked> {
        if let Some(unpacked) = self.cached() {
            return Ok(unpacked);
        }
        self.fetch().with_context(|| format!("cannot obtain the kernel {}", self.series))?;
        self.cached()
            .with_context(|| format!("the kernel {} is not in the cache after fetching", self.series))
    }

    fn fetch(&self) -> Result<()> {
        // Unpacked elsewhere and renamed, so that interrupted and concurrent runs leave nothing incomplete.
        let work = cache().join(format!("fetch-{}-{}", self.series, std::process::id()));
        let _cleanup = RemoveOnDrop(work.clone());
        fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
        let apt = Apt::new(&work.join("apt"), self.suites)?;
        eprintln!("[{}] fetching from {} …", self.series, self.suites.join(", "));
        apt.update()?;
        let (prefix, suffix) = self.packages[0];
        let names = apt.package_names(&format!("{prefix}{}.", self.series))?;
        let releases = names.iter().filter_map(|name| name.strip_prefix(prefix)?.strip_suffix(suffix));
        let release = pick(self.series, self.pin, releases).with_context(|| {
            format!(
                "the mirror has no {prefix}{}.*{suffix} in {}; set OBSERVER_CACHE_DIR to a \
                 cache that has it",
                self.series,
                self.suites.join(", ")
            )
        })?;
        if release != self.pin {
            eprintln!("[{}] the mirror no longer has the pinned {}, using {release}", self.series, self.pin);
        }
        let packages: Vec<String> =
            self.packages.iter().map(|(prefix, suffix)| format!("{prefix}{release}{suffix}")).collect();
        let root = work.join("root");
        fs::create_dir_all(&root)?;
        for archive in apt.download(&packages)? {
            shell::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&root))?;
        }
        let done = arrange(&work, &root, &format!("{release}-cloud-amd64"))?;
        let goal = self.directory();
        fs::create_dir_all(goal.parent().context("the cache has a parent")?)?;
        match fs::rename(&done, &goal) {
            // Another run was first.
            Err(_) if self.cached().is_some() => Ok(()),
            result => result.with_context(|| format!("cannot rename to {}", goal.display())),
        }
    }
}

/// Moves the required files of the unpacked packages to the same paths for every kernel.
fn arrange(work: &Path, root: &Path, release: &str) -> Result<PathBuf> {
    let done = work.join("done");
    let modules = done.join("lib/modules").join(release);
    fs::create_dir_all(done.join("lib/modules"))?;
    // Debian moved both: /lib to /usr/lib (6.12), the image to the modules' directory (7.2).
    let found = ["lib/modules", "usr/lib/modules"].map(|place| root.join(place).join(release));
    let found = found.iter().find(|place| place.join("kernel").is_dir());
    let found = found.with_context(|| format!("the packages have no modules of {release}"))?;
    let images = [root.join("boot").join(format!("vmlinuz-{release}")), found.join("vmlinuz")];
    let image = images.iter().find(|image| image.is_file());
    let image = image.with_context(|| format!("the packages have no image of {release}"))?;
    fs::rename(image, done.join("vmlinuz"))?;
    fs::rename(found, &modules)?;
    shell::run(Command::new("depmod").arg("-b").arg(&done).arg(release).env("PATH", sbin_path()))?;
    fs::write(done.join("release"), format!("{release}\n"))?;
    Ok(done)
}

/// PATH with sbin directories, which an ordinary user's lacks.
fn sbin_path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default())
}

/// The folder of cached kernels. A clean clone can use another one's with `OBSERVER_CACHE_DIR`.
pub fn cache() -> PathBuf {
    cache_of("vm")
}

/// The cache of another command.
pub fn cache_of(command: &str) -> PathBuf {
    let base = env::var_os("OBSERVER_CACHE_DIR").filter(|value| !value.is_empty());
    base.map_or_else(|| shell::root().join(".cache"), PathBuf::from).join(command)
}

/// `pin` if it is among `releases`, else the newest of `series`.
fn pick<'a>(series: &str, pin: &'a str, releases: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let of_series = |release: &&str| {
        release.strip_prefix(series).is_some_and(|rest| rest.starts_with('.')) && !release.contains("rc")
    };
    let releases: Vec<&str> = releases.filter(of_series).collect();
    if releases.contains(&pin) {
        return Some(pin);
    }
    releases.into_iter().max_by(|a, b| compare(a, b))
}

/// Compares releases with runs of digits as numbers and the rest as text.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (a_text, a_number, a_rest) = chunk(a);
        let (b_text, b_number, b_rest) = chunk(b);
        let ordering = a_text.cmp(b_text).then(a_number.cmp(&b_number));
        if ordering != Ordering::Equal || (a_rest.is_empty() && b_rest.is_empty()) {
            return ordering;
        }
        (a, b) = (a_rest, b_rest);
    }
}

/// The text before the first number, that number, and the rest.
fn chunk(text: &str) -> (&str, u64, &str) {
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (before, rest) = text.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (before, rest[..end].parse().unwrap_or(0), &rest[end..])
}

/// apt with private sources, lists and downloads.
pub struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Creates the folders and the list of sources.
    pub fn new(directory: &Path, suites: &[&str]) -> Result<Self> {
        for sub in ["state/lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(directory.join(sub))?;
        }
        let mirrors = Mirrors::of_the_system()?;
        let lines: Result<Vec<String>> = suites.iter().map(|suite| mirrors.line(suite)).collect();
        fs::write(directory.join("sources.list"), lines?.join("\n") + "\n")?;
        let directory = directory.canonicalize()?;
        Ok(Self { directory })
    }

    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut command = Command::new(program);
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            // The system's pins do not apply.
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={}", at("state")),
            format!("Dir::Cache={}", at("cache")),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            // apt's download user may lack access to the directory.
            "APT::Sandbox::User=root".to_owned(),
            "APT::Architecture=amd64".to_owned(),
        ];
        for option in options {
            command.args(["-o", &option]);
        }
        command
    }

    /// Reads the lists of packages.
    pub fn update(&self) -> Result<()> {
        shell::output(self.command("apt-get").args(["-qq", "update"])).map(drop)
    }

    fn package_names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = shell::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Fetches packages and returns their files.
    pub fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let debs = self.directory.join("debs");
        shell::output(self.command("apt-get").args(["-qq", "download"]).args(packages).current_dir(&debs))?;
        let files: std::io::Result<Vec<PathBuf>> =
            fs::read_dir(&debs)?.map(|entry| Ok(entry?.path())).collect();
        let files = files?;
        if files.len() != packages.len() {
            bail!("apt-get downloaded {} files for {}", files.len(), packages.join(", "));
        }
        Ok(files)
    }
}

/// The Debian mirrors of this system.
#[derive(Debug, Default, PartialEq)]
struct Mirrors {
    main: Option<String>,
    security: Option<String>,
}

impl Mirrors {
    fn of_the_system() -> Result<Self> {
        let mut mirrors = Self::default();
        mirrors.add_list(&fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
        let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
        let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
        parts.sort();
        for part in parts {
            let text = || fs::read_to_string(&part).unwrap_or_default();
            match part.extension().and_then(|extension| extension.to_str()) {
                Some("sources") => mirrors.add_stanzas(&text()),
                Some("list") => mirrors.add_list(&text()),
                _ => {}
            }
        }
        if mirrors.main.is_none() && mirrors.security.is_none() {
            bail!("apt has no source with Debian suites, which the kernels need");
        }
        Ok(mirrors)
    }

    /// deb822 (`*.sources`).
    fn add_stanzas(&mut self, text: &str) {
        for stanza in text.split("\n\n") {
            let field = |name: &str| {
                let of_field = |line: &&str| {
                    line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
                };
                let line = stanza.lines().find(of_field)?;
                line.split_once(':').map(|(_, value)| value.trim())
            };
            if field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
                continue;
            }
            if let (Some(uris), Some(suites)) = (field("URIs"), field("Suites")) {
                let uri = uris.split_whitespace().next().unwrap_or_default();
                suites.split_whitespace().for_each(|suite| self.add(uri, suite));
            }
        }
    }

    /// One source per line (`*.list`).
    fn add_list(&mut self, text: &str) {
        for line in text.lines() {
            let Some(rest) = line.trim().strip_prefix("deb ") else { continue };
            let rest = rest.trim_start();
            let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(rest, |(_, r)| r);
            let mut words = rest.split_whitespace();
            if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
                self.add(uri, suite);
            }
        }
    }

    fn add(&mut self, uri: &str, suite: &str) {
        const SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "forky", "sid"];
        const NAMES: &[&str] = &["oldoldstable", "oldstable", "stable", "testing", "unstable"];
        let (name, security) = match suite.strip_suffix("-security") {
            Some(name) => (name, true),
            None => (suite, false),
        };
        if SUITES.contains(&name) || NAMES.contains(&name) {
            let place = if security { &mut self.security } else { &mut self.main };
            place.get_or_insert_with(|| uri.to_owned());
        }
    }

    /// A line of sources.list for `suite`.
    fn line(&self, suite: &str) -> Result<String> {
        const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let (uri, what) = match suite.ends_with("-security") {
            true => (&self.security, "Debian's security archive"),
            false => (&self.main, "Debian's archive"),
        };
        let uri = uri.as_ref().ok_or_else(|| anyhow!("apt has no source for {what}"))?;
        let key = if Path::new(KEYRING).exists() { format!(" signed-by={KEYRING}") } else { String::new() };
        Ok(format!("deb [arch=amd64{key}] {uri} {suite} main"))
    }
}

/// Removes a folder or a file when it goes out of scope.
pub struct RemoveOnDrop(pub PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // A failure leaves files in the cache, which do no harm.
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_release_is_preferred_to_the_newest() {
        for (series, pin, releases, expected) in [
            ("6.12", "6.12.9+deb13", &["6.12.9+deb13", "6.12.117+deb13"][..], Some("6.12.9+deb13")),
            (
                "6.12",
                "6.12.9+deb13",
                &["6.12.90+deb13", "6.12.117+deb13", "6.12.95+deb13"],
                Some("6.12.117+deb13"),
            ),
            ("6.12", "x", &["6.12.115+deb13", "6.12.115+deb13.1"], Some("6.12.115+deb13.1")),
            ("6.1", "x", &["6.1.0-9", "6.1.0-56", "6.12.3", "6.1.0-53"], Some("6.1.0-56")),
            ("5.10", "5.10.0-46", &["5.1.0-3", "5.100.0-1"], None),
            ("7.3", "x", &["7.3.4+deb13", "7.3.10+deb13", "7.3.11-rc1"], Some("7.3.10+deb13")),
        ] {
            assert_eq!(pick(series, pin, releases.iter().copied()), expected, "{series} {pin} {releases:?}");
        }
    }

    #[test]
    fn mirrors_are_read_from_both_formats() {
        let mut mirrors = Mirrors::default();
        mirrors.add_stanzas(
            "Types: deb\n# old: http://snapshot.invalid/\nURIs: http://m.invalid/debian\nSuites: bookworm bookworm-updates\n\n\
             Types: deb\nURIs: http://s.invalid/debian-security\nSuites: bookworm-security\n\n\
             Types: deb\nEnabled: no\nURIs: http://no.invalid/\nSuites: trixie\n",
        );
        let expected = Mirrors {
            main: Some("http://m.invalid/debian".to_owned()),
            security: Some("http://s.invalid/debian-security".to_owned()),
        };
        assert_eq!(mirrors, expected);

        let mut mirrors = Mirrors::default();
        mirrors.add_list(
            "# deb http://no.invalid trixie main\ndeb [signed-by=/x] http://other.invalid nodistro main\n\
             deb-src http://no.invalid trixie main\ndeb [arch=amd64 a=b] http://m.invalid/debian trixie main\n\
             deb http://s.invalid/debian-security trixie-security main\n",
        );
        assert_eq!(mirrors.main.as_deref(), Some("http://m.invalid/debian"));
        assert_eq!(mirrors.security.as_deref(), Some("http://s.invalid/debian-security"));
    }

    #[test]
    fn suites_come_from_their_archive() {
        let mirrors = Mirrors { main: Some("http://m.invalid".to_owned()), security: None };
        assert!(mirrors.line("trixie").expect("has one").ends_with("http://m.invalid trixie main"));
        assert!(mirrors.line("trixie-security").is_err());
    }
}
