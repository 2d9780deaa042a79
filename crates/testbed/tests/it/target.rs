//! The test target, observed from outside as a probe would.

mod client;
mod control;
mod dns;
mod echo;
mod http;
mod lifecycle;
mod tcp;
mod tls;
