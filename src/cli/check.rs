//! `springtide check`: whether manifests will be admitted and do what they say, with nothing but the files.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::check::finding::Severity;
use crate::check::{self, Report};
use crate::manifests::files::{self, Unread};
use crate::manifests::{Limits, files::find};

/// Check manifests as an admission check would, with nothing but the files.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  springtide check -f manifests/\n  helm template . | springtide check -f -\n\nExit codes: 0 nothing wrong, 1 problems found, 2 something could not be read."
)]
pub struct Check {
    /// Files and folders (*.yaml, *.yml, *.json, each also with .gz), or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Check {
    /// Checks and prints.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (sources, mut unread) = find(&self.paths);
        let (files, more) = files::read(sources, &Limits::default());
        unread.extend(more);
        let report = check::check(&files).context("make the kinds' schemas")?;
        let printed = match self.output {
            Output::Text => text(&report),
            Output::Json => json(&report, &unread)?,
        };
        // Who pipes this into `head` has seen enough.
        match std::io::stdout().lock().write_all(printed.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => bail!("write to standard output: {error}"),
            _ => {}
        }
        for problem in &unread {
            eprintln!("springtide: {problem}");
        }
        Ok(match (unread.is_empty(), report.count(Severity::Problem)) {
            (false, _) => ExitCode::from(2),
            (true, 0) => ExitCode::SUCCESS,
            (true, _) => ExitCode::from(1),
        })
    }
}

fn text(report: &Report) -> String {
    let mut out: String = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
    let counted = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let all = format!("{}, {}", counted(report.objects, "object"), counted(report.files, "file"));
    let summary = match report.count(Severity::Problem) {
        0 => format!("no problems in {all}"),
        problems => format!("{} in {} of {all}", counted(problems, "problem"), report.with_problems()),
    };
    let mut more = Vec::new();
    if let notices @ 1.. = report.count(Severity::Notice) {
        more.push(counted(notices, "notice"));
    }
    if report.passed_over > 0 {
        more.push(format!("{} of other kinds passed over", counted(report.passed_over, "object")));
    }
    out.push_str(&summary);
    if !more.is_empty() {
        out.push_str(&format!(" ({})", more.join(", ")));
    }
    out.push('\n');
    out
}

fn json(report: &Report, unread: &[Unread]) -> anyhow::Result<String> {
    let unread: Vec<_> = unread.iter().map(|one| json!({ "file": one.name, "what": one.what, "remedy": one.remedy })).collect();
    let whole = json!({
        "findings": report.findings,
        "unread": unread,
        "summary": {
            "problems": report.count(Severity::Problem),
            "notices": report.count(Severity::Notice),
            "objects": report.objects,
            "objectsWithProblems": report.with_problems(),
            "passedOver": report.passed_over,
            "files": report.files,
        },
    });
    let mut text = serde_json::to_string_pretty(&whole).context("write JSON")?;
    text.push('\n');
    Ok(text)
}
