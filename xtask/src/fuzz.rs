//! `cargo xtask fuzz`: the planner on manifests that nobody wrote, as long as it is told. What it finds belongs into `tests/plan/found`, which is tried in
//! every test run.

use std::path::PathBuf;

use anyhow::Result;

use crate::Outcome;
use crate::shell::{cargo, root, succeeds};

/// How long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds to go on for.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// What LLVM has to build into the program so that the fuzzer sees where its input leads.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 --cfg fuzzing";

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join("fuzz");
    let corpus = target.join("corpus");
    std::fs::create_dir_all(&corpus)?;
    // The host is named so that build scripts and macros are built without these flags.
    let mut command =
        cargo(&["run", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--target", "x86_64-unknown-linux-gnu", "--"]);
    command.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &target);
    command.arg(&corpus).args(["tests/plan/cases", "tests/conformance/cases", "tests/plan/found"].map(PathBuf::from));
    command.args([
        format!("-max_total_time={}", arguments.seconds),
        "-timeout=20".to_owned(),
        "-rss_limit_mb=4096".to_owned(),
        "-max_len=20000".to_owned(),
        "-print_final_stats=1".to_owned(),
        format!("-artifact_prefix={}/", target.display()),
    ]);
    Ok(if succeeds(&mut command)? { Outcome::Good } else { Outcome::Problems })
}
