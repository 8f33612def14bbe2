//! What the program is told on its command line and by its environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use springtide_worker::{DeploymentName, Grace};

/// Publishes messages to RabbitMQ and works them off: for tests, benchmarks and samples.
#[derive(Debug, Parser)]
#[command(name = "springtide-worker", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Publish(Publish),
    Work(Work),
    Serve(Serve),
}

/// Where the messages are.
#[derive(Debug, Args)]
pub struct Place {
    /// The broker: amqp://USER:PASSWORD@HOST:PORT/VHOST, with / in a virtual host's name written as %2f. It is never printed.
    // Text, and read later, because an error of the command line would print it with its password.
    #[arg(long, env = "SPRINGTIDE_WORKER_URL", hide_env_values = true)]
    pub url: String,
    /// The queue.
    #[arg(long, env = "SPRINGTIDE_WORKER_QUEUE")]
    pub queue: String,
}

/// Publishes persistent messages as one burst and prints, as JSON, when the first was sent and when the broker had confirmed the last.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  export SPRINGTIDE_WORKER_URL=amqp://guest:guest@127.0.0.1:5672/%2f\n  springtide-worker publish --queue mail --declare --count 1000"
)]
pub struct Publish {
    #[command(flatten)]
    pub place: Place,
    /// How many messages.
    #[arg(long)]
    pub count: u64,
    /// How many bytes each has.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// Declare the queue first, as a durable classic queue.
    #[arg(long)]
    pub declare: bool,
    /// How many messages in a second, such as 50 or 0.5, instead of as fast as it goes.
    #[arg(long, value_name = "PER_S", value_parser = rate)]
    pub rate: Option<f64>,
}

/// Works for the running pods of a Deployment, whose nodes are simulated: one message at a time for each pod.
///
/// Each pod that runs and is not being deleted has a consumer of its own. It takes a message, holds it for the service time, acknowledges it and takes the
/// next. At its end (on SIGTERM, SIGINT or with --until-done) the program gives back what is held and writes a report.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  export SPRINGTIDE_WORKER_URL=amqp://guest:guest@127.0.0.1:5672/%2f\n  springtide-worker work --queue mail --service-time 10s --deployment default/mailer \\\n    --until-done 1000 --report report.json --events events.jsonl"
)]
pub struct Work {
    #[command(flatten)]
    pub place: Place,
    /// How long each message is held, such as 10s or 500ms.
    #[arg(long, value_parser = duration)]
    pub service_time: Duration,
    /// The Deployment, as NAMESPACE/NAME. Its pods are found by its selector.
    #[arg(long)]
    pub deployment: DeploymentName,
    /// The kubeconfig file; without it, the usual places and the service account of a pod.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What a pod does with its message when it gets a deletionTimestamp.
    #[arg(long, value_enum, default_value_t = GraceName::GiveBack)]
    pub grace: GraceName,
    /// End when so many messages were acknowledged.
    #[arg(long, value_name = "N")]
    pub until_done: Option<u64>,
    /// Where the JSON report goes; - is the standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub report: PathBuf,
    /// Where events go, one line of JSON each; - is the standard output.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// Works as one worker: what a container of a Deployment runs. On SIGTERM it finishes its message, then ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  export SPRINGTIDE_WORKER_URL=amqp://guest:guest@rabbitmq:5672/%2f\n  springtide-worker serve --queue mail --service-time 10s"
)]
pub struct Serve {
    #[command(flatten)]
    pub place: Place,
    /// How long each message is held, such as 10s or 500ms.
    #[arg(long, env = "SPRINGTIDE_WORKER_SERVICE_TIME", value_parser = duration)]
    pub service_time: Duration,
    /// How long it may take to finish after SIGTERM; a little less than the pod's terminationGracePeriodSeconds.
    #[arg(long, env = "SPRINGTIDE_WORKER_GRACE_PERIOD", value_parser = duration, default_value = "25s")]
    pub grace_period: Duration,
    /// What the worker is called at the broker and in events.
    #[arg(long, env = "HOSTNAME", default_value = "worker")]
    pub name: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GraceName {
    /// Give it back at once.
    GiveBack,
    /// Finish it if that takes no longer than the pod's grace period.
    Finish,
}

impl From<GraceName> for Grace {
    fn from(name: GraceName) -> Self {
        match name {
            GraceName::GiveBack => Self::GiveBack,
            GraceName::Finish => Self::Finish,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "write a duration such as 10s, 500ms or 1m30s".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "write a duration that is not negative".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("write a number above 0, such as 50 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_each_command_has_an_example() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("springtide-worker {}", command.get_name())), "{}", command.get_name());
        }
    }

    #[test]
    fn durations_and_rates_say_what_they_want() {
        for (text, milliseconds) in [("10s", 10_000), ("500ms", 500), ("1m30s", 90_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["10", "-1s", "soon", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "inf", "NaN", "x"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
