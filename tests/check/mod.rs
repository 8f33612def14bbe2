//! `springtide check`, the program itself: what it says of manifests that are broken in many ways, of good ones, of the peers' own, and of files that nobody
//! should have to read.

mod broken;
pub mod files;
mod good;
mod hostile;
mod peers;

use std::path::Path;
use std::process::{Command, Output};

/// The program, built with this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");

/// What the program said.
struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what it prints is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
    }

    /// The lines that tell of a problem or a notice, without the summary.
    fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.out.lines().collect();
        lines.pop();
        lines
    }
}

/// Runs `springtide check -f` with these files, in a folder.
fn check(folder: &Path, arguments: &[&str]) -> Said {
    Said::of(Command::new(PROGRAM).arg("check").arg("-f").args(arguments).current_dir(folder).output().expect("the program starts"))
}

/// A folder of a test's own, removed with it.
pub struct Folder(pub std::path::PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
