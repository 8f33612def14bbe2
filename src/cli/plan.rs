//! `springtide plan`: one turn of the decider over manifests, with nothing but the files.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use springtide_clouds::catalog;
use springtide_core::nodes::offer::InstanceType;

use super::Output;
use crate::manifests::Limits;
use crate::manifests::files::{find, read};
use crate::manifests::finding::{Finding, Severity, line};
use crate::objects::{self, Objects};
use crate::plan::readings::{Given, Readings};
use crate::plan::{self, Planned, Timing};
use crate::planning::Planning;

/// Plan one turn offline, by the decider that runs in a cluster: replicas, nodes to start, nodes to end, and why.
///
/// Read are pods, nodes, NodePools, NodeClasses, NodeClaims, DaemonSets, workloads, ScaledObjects with what they refer to, and ResourceQuotas; other kinds are
/// passed over, which is said once for each. What an API server would have filled in is filled in. The answer is the same for the same files, whatever their
/// order and whenever it is asked.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  springtide plan -f cluster.yaml --reading s0-rabbitmq-orders=1000\n  kubectl get pods,nodes,nodepools,nodeclaims -A -o yaml | springtide plan -f - --instance-types types.json.gz -o json\n\nExit codes: 0 planned, 1 planned and something was found (an object that cannot be used and was left out, a pod that gets no node), 2 could not (a file or an argument that cannot be read)."
)]
pub struct Plan {
    /// Files and folders (*.yaml, *.yml, *.json, each also with .gz), or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// What every NodeClass sells: a JSON list in the shape that Karpenter's kwok provider reads, also with .gz [default: the 144 types of that provider].
    #[arg(long, value_name = "FILE")]
    instance_types: Option<PathBuf>,
    /// What a trigger reads; TRIGGER is its metric's name (s0-rabbitmq-orders), its own name, or namespace/scaledobject[:index]. A ScaledObject of which no
    /// trigger is read keeps its replicas.
    #[arg(long = "reading", value_name = "TRIGGER=VALUE", num_args = 1..)]
    readings: Vec<Given>,
    /// How nodes are planned.
    #[command(flatten)]
    planning: Planning,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

impl Plan {
    /// Plans and prints.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let types = self.types()?;
        let mut objects = self.objects()?;
        let offers = objects.sell(types);
        let parse_seconds = begun.elapsed().as_secs_f64();
        let notes = notes(&objects);
        notes.iter().for_each(|note| eprintln!("{note}"));
        let readings = Readings::find(&objects, &self.readings).map_err(|wrong| anyhow!(wrong))?;
        let begun = Instant::now();
        let decided = plan::turn(&objects, &offers, &readings, self.planning.into());
        let timing = Timing { parse_seconds, solve_seconds: begun.elapsed().as_secs_f64() };
        let breaches = decided.breaches();
        for breach in &breaches {
            eprintln!("springtide: {breach}; this is a defect of the planner: please report it with these files");
        }
        let planned = Planned { timing, ..decided.told() };
        self.print(&planned)?;
        let problems = objects.findings.iter().any(|finding| finding.severity == Severity::Problem);
        let found = problems || !planned.unschedulable.is_empty() || !breaches.is_empty();
        Ok(if found { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    fn types(&self) -> anyhow::Result<Vec<InstanceType>> {
        let Some(path) = &self.instance_types else { return Ok(catalog::kwok_types()) };
        let named = || path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("read the instance types in {}; correct the path", named()))?;
        let types = catalog::parse(&bytes, &catalog::kwok_overhead());
        types.with_context(|| format!("read the instance types in {}; correct the file as `springtide plan --help` says", named()))
    }

    /// What the files hold. What cannot be read at all may be what matters most: then nothing is planned.
    fn objects(&self) -> anyhow::Result<Objects> {
        let (sources, mut unread) = find(&self.paths);
        let (files, more) = read(sources, &Limits::CLUSTER);
        unread.extend(more);
        if !unread.is_empty() {
            let all: Vec<String> = unread.iter().map(ToString::to_string).collect();
            bail!("{}", all.join("\nspringtide: "));
        }
        let faults: Vec<Finding> = files.iter().flat_map(Finding::of_reading).collect();
        if files.iter().all(|file| file.parsed.documents.is_empty()) {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            bail!("there is no object in what was read; name files with manifests");
        }
        let mut objects = objects::read(files.iter().flat_map(|file| &file.parsed.documents));
        objects.findings.splice(0..0, faults);
        Ok(objects)
    }

    fn print(&self, planned: &Planned) -> anyhow::Result<()> {
        let text = match self.output {
            // Names are an API server's; what the other texts of a file hold must not speak to the terminal.
            Output::Text => planned.to_string().chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect(),
            Output::Json => serde_json::to_string_pretty(planned).context("write JSON")? + "\n",
        };
        // Who pipes this into `head` has seen enough.
        match std::io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
            _ => Ok(()),
        }
    }
}

/// What is to be said of the objects, a line each.
fn notes(objects: &Objects) -> Vec<String> {
    let passed_over = objects.passed_over.iter().map(|(kind, count)| {
        let kind = if kind.is_empty() { "none".to_owned() } else { line(kind) };
        format!("notice: {count} of kind {kind}: passed over; the planner does not look at them")
    });
    objects.findings.iter().map(ToString::to_string).chain(passed_over).collect()
}
