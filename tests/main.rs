//! All tests of the whole: on real parts where a part could lie. Units and cases of the core are beside its code.

mod benchmark;
mod brokers;
mod check;
mod cluster;
mod conformance;
mod container;
mod oracle;
mod page;
mod plan;
mod stage;
mod tidy;
