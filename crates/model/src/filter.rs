//! `--filter KEY=VALUE` as all list commands take it.
