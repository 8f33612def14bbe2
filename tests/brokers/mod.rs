//! Scalers on real brokers, through what the daemon itself uses of them: `parse` and `Poller`.

mod prometheus;
mod rabbitmq;
mod reader;
mod sql;
