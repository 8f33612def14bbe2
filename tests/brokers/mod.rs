//! Scalers on real brokers, through what the daemon itself uses of them: `parse` and `Poller`.

mod kafka;
mod rabbitmq;
mod reader;
