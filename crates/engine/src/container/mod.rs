//! Containers: their records, and one file per verb.

pub mod api_socket;
pub mod attach;
pub mod birth;
pub mod commit;
mod contents;
pub mod create;
pub mod diff;
pub mod exec;
pub mod exec_session;
pub mod export;
pub mod external;
pub mod files;
pub mod hooks;
pub mod kill;
pub mod launch;
mod layers;
pub mod linked;
pub mod list;
pub mod names;
pub mod pause;
pub mod quota;
pub mod record;
mod rehearsal;
pub mod remove;
pub mod rename;
pub mod resolve;
pub mod start;
pub mod state;
pub mod stats;
pub mod stop;
pub mod top;
mod trees;
pub mod update;
pub mod userns;
pub mod wait;
pub mod warnings;

#[cfg(test)]
mod tests;
