//! `springtide-testbed`: what `cargo xtask setup` and `cargo xtask testbed` call.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use springtide_testbed::{Azurite, Kafka, Moto, Named, Programs, Tools, nats_server, static_programs};

#[derive(Parser)]
#[command(about = "Real parts on loopback, for tests and for a person who tries something")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the programs of the control plane, of brokers and those for containers, unless they are built
    Setup,
    /// Build packages of a workspace as static programs, for images
    Static {
        /// The workspace's folder
        workspace: PathBuf,
        /// Packages whose programs are meant
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Start a control plane and a RabbitMQ in the background
    Up(Name),
    /// Stop them, and clean up after them when they crashed
    Down(Name),
    /// Say which run and how to reach them
    Status,
    /// Start them and stay until told to end
    #[command(hide = true)]
    Hold(Name),
}

#[derive(clap::Args)]
struct Name {
    /// Several run at once under different names
    #[arg(long, default_value = "default")]
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Setup => {
            let programs = tokio::task::spawn_blocking(Programs::ensure).await??;
            let Programs { etcd, kube_apiserver, kube_scheduler, kube_controller_manager, kwok } = programs;
            let Tools { kubectl, kwokctl, compose } = tokio::task::spawn_blocking(Tools::ensure).await??;
            let nats = tokio::task::spawn_blocking(nats_server).await??;
            let kafka = tokio::task::spawn_blocking(Kafka::ensure).await??;
            let azurite = tokio::task::spawn_blocking(Azurite::ensure).await??;
            let moto = tokio::task::spawn_blocking(Moto::ensure).await??;
            let control_plane = [etcd, kube_apiserver, kube_scheduler, kube_controller_manager, kwok, kubectl, kwokctl, compose];
            for program in control_plane.into_iter().chain([nats, kafka, azurite, moto]) {
                println!("{}", program.display());
            }
        }
        Command::Static { workspace, packages } => {
            let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
            for program in static_programs(&workspace, &packages)? {
                println!("{}", program.display());
            }
        }
        Command::Up(Name { name }) => println!("{}", Named::new(&name)?.up().await?),
        Command::Down(Name { name }) => {
            let ran = Named::new(&name)?.down().await?;
            println!("{name}: {}", if ran { "stopped" } else { "did not run" });
        }
        Command::Status => {
            for name in Named::all()? {
                match Named::new(&name)?.reach()? {
                    Some(reach) => println!("{name}: runs\n{reach}"),
                    None => println!("{name}: crashed; `cargo xtask testbed down --name {name}` cleans up"),
                }
            }
        }
        Command::Hold(Name { name }) => Named::new(&name)?.hold().await?,
    }
    Ok(())
}
