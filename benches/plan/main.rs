//! The node planner: how long a plan takes, what it costs, and how far that is from the least that it could cost.
//!
//! Each case is played by a program of its own, so that its memory is its own. `--quick` plays some of them with their last seed; `diverse` plays the cases of
//! that name, `diverse-1000` the one. Prints one row for each, and at last one line with the figures. What misses its target is said and no failure; a plan that breaks a rule is one.

mod bound;
mod case;
mod comparator;
mod figures;
mod market;
mod pods;
mod recorded;
mod turn;
mod world;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use self::case::CASES;
use self::figures::{Figures, play, play_recorded};

/// Asks this program for one case: its name and seed follow.
const ONE: &str = "--one";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("plan: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [one, name, seed, ..] = &arguments[..]
        && one == ONE
    {
        println!("{}", serde_json::to_string(&one_case(name, seed.parse()?)?)?);
        return Ok(true);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let only: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let begins = |name: &str, with: &str| name.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '/']));
    let chosen = |name: &str| only.is_empty() || only.iter().any(|with| begins(name, with));
    let mut all = Vec::new();
    println!("{}", Figures::header());
    for case in CASES.iter().filter(|case| chosen(case.name) && (case.quick || !quick)) {
        for seed in if quick { *case.seeds.end()..=*case.seeds.end() } else { case.seeds.clone() } {
            all.push(ask(case.name, seed)?);
        }
    }
    match recorded::folder() {
        Some(folder) => {
            for (number, recording) in (0..).zip(recorded::recordings(&folder)?) {
                let name = format!("recorded/{}", recording.dataset);
                if chosen(&name) && !(quick && recording.dataset.starts_with("diverse")) {
                    all.push(ask(&name, number)?);
                }
            }
        }
        None => println!("SPRINGTIDE_PEER_DATA is not set; what Karpenter planned was not planned here"),
    }
    let mut good = all.iter().all(|figures| figures.wrong.is_empty());
    if !turn::agrees()? {
        println!("BROKEN: the planner takes something else than {} for what a node costs beside its price", turn::NODE);
        good = false;
    }
    println!("{}", figures::targets(&all));
    println!("{}", figures::last_line(&all));
    Ok(good)
}

/// Plays one case in a program of its own.
fn ask(name: &str, seed: u64) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([ONE, name, &seed.to_string()]).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "{name} with seed {seed} ended with {}", output.status);
    let figures: Figures = serde_json::from_slice(&output.stdout).with_context(|| format!("{name} with seed {seed} told nothing"))?;
    println!("{figures}");
    Ok(figures)
}

fn one_case(name: &str, seed: u64) -> Result<Figures> {
    if name.starts_with("recorded/") {
        let folder = recorded::folder().context("SPRINGTIDE_PEER_DATA is not set")?;
        let recording = recorded::recordings(&folder)?.into_iter().nth(usize::try_from(seed)?).context("no such recording")?;
        return play_recorded(&folder, &recording);
    }
    let case = CASES.iter().find(|case| case.name == name).with_context(|| format!("there is no case {name}"))?;
    play(case, seed)
}
