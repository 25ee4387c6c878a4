//! The page of `observer compare` in chromium, which `cargo xtask test` installs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Time limit for one page in seconds.
const BOUND: &str = "120";
const WIDTH: u32 = 1_200;

/// The browser's name, if there is one.
fn browser() -> Option<&'static str> {
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    let found = ["chromium", "chromium-browser"].into_iter().find(|name| works(name));
    if found.is_none() {
        observer_testing::skip(observer_testing::Need::Program("chromium"), "it does not start");
    }
    found
}

struct Browser {
    program: &'static str,
    folder: tempfile::TempDir,
    page: PathBuf,
}

impl Browser {
    fn start(after: &str) -> Option<Self> {
        let program = browser()?;
        let folder = tempfile::tempdir().expect("a folder");
        let page = folder.path().join("report.html");
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings");
        let status = Command::new(env!("CARGO_BIN_EXE_observer"))
            .current_dir(data)
            .args(["compare", "vxlan-always.json", after, "--format", "html", "-o"])
            .arg(&page)
            .status()
            .expect("observer starts");
        assert!(status.success());
        Some(Self { program, folder, page })
    }

    /// Runs the browser on the page with a fresh profile and returns its output.
    fn run(&self, args: &[&str]) -> String {
        let profile = tempfile::tempdir_in(self.folder.path()).expect("a profile");
        let output = Command::new("timeout")
            .args([BOUND, self.program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(args)
            .arg(format!("file://{}", self.page.display()))
            .output()
            .expect("timeout starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {}: {errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Mean brightness (0 to 255) of a screenshot, and its number of different colours.
    fn shot(&self, args: &[&str]) -> (u64, usize) {
        let path = self.folder.path().join("shot.png");
        let (to, size) = (format!("--screenshot={}", path.display()), format!("--window-size={WIDTH},2600"));
        self.run(&[&[to.as_str(), size.as_str()], args].concat());
        let file = std::io::BufReader::new(std::fs::File::open(&path).expect("a screenshot"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!(info.width, WIDTH);
        let each = info.color_type.samples();
        let colours: HashSet<[u8; 3]> =
            pixels.chunks_exact(each).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        let bright: u64 = pixels.chunks_exact(each).map(|pixel| u64::from(pixel[1])).sum();
        (bright / (pixels.len() / each) as u64, colours.len())
    }
}

#[test]
#[ignore = "needs chromium; cargo xtask test runs it"]
fn the_page_is_drawn_light_and_dark_and_printed() {
    let Some(browser) = Browser::start("vxlan-crosssubnet.json") else { return };
    let dom = browser.run(&["--dump-dom"]);
    for text in
        ["vxlan-always → vxlan-crosssubnet", "Less encapsulation", "Why the overhead changed", "All figures"]
    {
        assert!(dom.contains(text), "{text} is not on the page");
    }
    let source = std::fs::read_to_string(&browser.page).expect("the page");
    // The browser drops or moves markup that is not valid.
    for tag in ["<svg ", "<rect ", "<tr>", "<li ", "<td"] {
        assert_eq!(dom.matches(tag).count(), source.matches(tag).count(), "{tag}");
    }
    let (light, colours) = browser.shot(&["--blink-settings=preferredColorScheme=1"]);
    assert!(light > 200 && colours > 50, "light: brightness {light}, {colours} colours");
    let (dark, colours) = browser.shot(&["--blink-settings=preferredColorScheme=0"]);
    assert!(dark < 60 && colours > 50, "dark: brightness {dark}, {colours} colours");
    let paper = browser.folder.path().join("report.pdf");
    browser.run(&["--no-pdf-header-footer", &format!("--print-to-pdf={}", paper.display())]);
    let paper = std::fs::read(paper).expect("a PDF");
    assert!(paper.starts_with(b"%PDF-") && paper.len() > 20_000, "{} bytes", paper.len());
}
