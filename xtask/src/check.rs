//! `cargo xtask check`: what can be said of the code without running it. All checks run, also after one has found something.

use anyhow::Result;

use crate::Outcome;
use crate::shell::{cargo, succeeds};

/// A check by name, and cargo's arguments for it.
const CHECKS: [(&str, &[&str]); 2] =
    [("format", &["fmt", "--all", "--check"]), ("lints", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])];

/// Bans, licences and sources; advisories need a network that test machines lack.
const DEPENDENCIES: (&str, &[&str]) = ("dependencies", &["deny", "check", "bans", "licenses", "sources"]);

pub(crate) fn run() -> Result<Outcome> {
    let mut checks = CHECKS.to_vec();
    if succeeds(cargo(&["deny", "--version"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()))? {
        checks.push(DEPENDENCIES);
    } else {
        println!("check: cargo-deny is not installed; dependencies are not checked (`cargo install cargo-deny`)");
    }
    let mut outcome = Outcome::Good;
    for (name, arguments) in checks {
        if succeeds(&mut cargo(arguments))? {
            println!("check: {name}: good");
        } else {
            println!("check: {name}: problems, see above (cargo {})", arguments.join(" "));
            outcome = Outcome::Problems;
        }
    }
    Ok(outcome)
}
