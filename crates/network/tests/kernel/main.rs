//! The real kernel: every test in a network namespace of its own, with real TCP and UDP.

mod access;
mod attach;
mod dns;
mod parent;
mod ports;
mod service;
mod world;
