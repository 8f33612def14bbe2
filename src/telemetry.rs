//! Logs, metrics and health: how the daemon shows itself to machines.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// What could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level of logging is not one.
    #[error("--log-level {level}: {message}; use error, warn, info, debug or trace, or levels by module")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        message: String,
    },
    /// The metrics cannot be collected.
    #[error("set up metrics: {0}")]
    Metrics(String),
    /// An address cannot be listened on.
    #[error("listen on {address}: {message}; choose another address by flag")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        message: String,
    },
}

/// Sets up logging.
///
/// # Errors
/// The level is not one.
pub fn logs(settings: &Settings) -> Result<(), TelemetryError> {
    let wrong = |error: &dyn std::fmt::Display| TelemetryError::Level { level: settings.log_level.clone(), message: error.to_string() };
    let filter = EnvFilter::try_new(&settings.log_level).map_err(|error| wrong(&error))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    }
    .map_err(|error| wrong(&error))
}

/// Collects metrics from now on.
///
/// # Errors
/// Something else collects them already.
pub fn metrics() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new().install_recorder().map_err(|error| TelemetryError::Metrics(error.to_string()))
}

/// Whether the daemon has seen all that it needs to see.
pub type Ready = Arc<AtomicBool>;

/// Serves `/metrics`, `/healthz` and `/readyz`.
///
/// # Errors
/// An address cannot be listened on.
pub async fn serve(settings: &Settings, handle: PrometheusHandle, ready: Ready) -> Result<(), TelemetryError> {
    let upkeep = handle.clone();
    tokio::spawn(async move {
        // Histograms keep all samples until this is called.
        let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    let metrics = Router::new().route("/metrics", get(move || std::future::ready(handle.render())));
    let readyz = move || {
        let ready = ready.load(Ordering::Relaxed);
        std::future::ready(if ready {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the first lists of the watches are not complete\n")
        })
    };
    let health = Router::new().route("/healthz", get(|| std::future::ready("ok\n"))).route("/readyz", get(readyz));
    for (address, routes) in [(settings.metrics_address, metrics), (settings.health.health_address, health)] {
        let failed = |error: std::io::Error| TelemetryError::Listen { address, message: error.to_string() };
        let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%address, %error, "stopped serving");
            }
        });
    }
    Ok(())
}

/// Names of metrics. A name that is not here does not exist; what each means stands in `docs/metrics.md`.
pub mod names {
    macro_rules! names {
        ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
            $($(#[$doc])* pub const $constant: &str = $name;)*
        };
    }
    names! {
        /// Replicas that are wanted, by namespace and scaledObject.
        REPLICAS_WANTED = "springtide_replicas_wanted";
        /// Actions that came to their end, by kind and result.
        ACTIONS = "springtide_actions_total";
        /// Seconds that a turn took.
        TURN_SECONDS = "springtide_turn_seconds";
        /// Whether this process leads.
        LEADER = "springtide_leader";
        /// Nodes of ours, by pool.
        NODES = "springtide_nodes";
        /// What the machines cost an hour, by pool.
        PRICE = "springtide_price_usd_per_hour";
        /// Pods, real and virtual, for which there is no node.
        UNPLACED = "springtide_unplaced_pods";
        /// A trigger's metric, under the name that KEDA's dashboards use.
        SCALER_VALUE = "keda_scaler_metrics_value";
        /// Whether a trigger is active, under the name that KEDA's dashboards use.
        SCALER_ACTIVE = "keda_scaler_active";
        /// How often a trigger is read at present, in seconds.
        SCALER_PERIOD = "springtide_scaler_poll_period_seconds";
        /// Failed reads of a trigger, under the name that KEDA's dashboards use.
        SCALER_ERRORS = "keda_scaler_detail_errors_total";
    }
}
