//! `springtide plan`, the program itself: what it plans for small scenes, that files and their order make no difference, and files that nobody should have to
//! read.

mod cases;
mod files;
mod hostile;

use std::path::Path;
use std::process::{Command, Output};

/// The program, built with this test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");

/// What the program said.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what it prints is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
    }
}

/// Runs `springtide plan` with these arguments, in a folder.
fn plan(folder: &Path, arguments: &[&str]) -> Said {
    Said::of(Command::new(PROGRAM).arg("plan").args(arguments).current_dir(folder).output().expect("the program starts"))
}

/// The same text without what differs from one run to the next.
fn without_times(text: &str) -> String {
    let line = |line: &str| match line.split_once("Seconds\": ") {
        Some((name, number)) => format!("{name}Seconds\": 0.0{}\n", if number.ends_with(',') { "," } else { "" }),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The cases' folder.
fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/cases")
}
