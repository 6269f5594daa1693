//! Scenarios: the real binary, on real images, as its users drive it. Each says its intent, takes its steps, and looks at what the
//! kernel or the store says. `testkit` gives each a host of its own; nothing is fetched from outside.
//!
//! `cargo test -p scenarios -- crash` runs those with `crash` in their names. The binary is `DOCKLESS_BIN`, else the newest built;
//! the images are those of `images-cache/`.

mod api;
mod api_links;
mod api_registry;
mod api_socket;
mod api_streams;
mod applications;
mod artifacts;
mod boot;
mod build;
mod build_cache;
mod build_ssh;
mod bundle;
mod clients;
mod commands;
mod compose;
mod counter;
mod crash;
mod damage;
mod exec;
mod firewalls;
mod fleet;
mod full;
mod generations;
mod git_ssh;
mod health;
mod hostile;
mod image_commands;
mod images;
mod inspect;
mod isolation;
mod keys;
mod keys_build;
mod keys_contents;
mod keys_deploy;
mod keys_devices;
mod keys_hooks;
mod keys_jobs;
mod keys_kernel;
mod keys_limits;
mod keys_mounts;
mod keys_networks;
mod keys_provider;
mod keys_refused;
mod keys_run;
mod keys_shown;
mod keys_watch;
mod layers;
mod layers_corpus;
mod lifecycle;
mod limits;
mod logs;
mod mistakes;
mod network;
mod network_drivers;
mod oci;
mod oci_annotations;
mod oci_attached;
mod oci_callers;
mod oci_exec;
mod plans;
mod ports;
mod power;
mod projects;
mod prune;
mod quota;
mod registries;
mod registries_archives;
mod registries_busy;
mod registries_crane;
mod registries_ways;
mod remote;
mod restart;
mod rolling;
mod run;
mod secrets;
mod stack;
mod store;
mod volumes;
mod volumes_remote;
mod vote;
mod wordpress;

fn main() -> std::process::ExitCode {
    // The longest first, so that they do not run alone at the end.
    testkit::main(&[
        projects::ALL,
        vote::ALL,
        wordpress::ALL,
        rolling::ALL,
        generations::ALL,
        counter::ALL,
        fleet::ALL,
        crash::ALL,
        damage::ALL,
        full::ALL,
        power::ALL,
        quota::ALL,
        remote::ALL,
        git_ssh::ALL,
        applications::ALL,
        restart::ALL,
        health::ALL,
        network::ALL,
        network_drivers::ALL,
        keys_jobs::ALL,
        keys_networks::ALL,
        ports::ALL,
        firewalls::ALL,
        compose::ALL,
        commands::ALL,
        stack::ALL,
        build::ALL,
        build_cache::ALL,
        build_ssh::ALL,
        bundle::ALL,
        store::ALL,
        images::ALL,
        image_commands::ALL,
        clients::ALL,
        artifacts::ALL,
        registries::ALL,
        registries_archives::ALL,
        registries_busy::ALL,
        registries_crane::ALL,
        registries_ways::ALL,
        oci_callers::ALL,
        oci::ALL,
        oci_annotations::ALL,
        oci_attached::ALL,
        oci_exec::ALL,
        hostile::ALL,
        api::ALL,
        api_links::ALL,
        api_registry::ALL,
        api_socket::ALL,
        api_streams::ALL,
        secrets::ALL,
        run::ALL,
        layers::ALL,
        layers_corpus::ALL,
        lifecycle::ALL,
        exec::ALL,
        limits::ALL,
        logs::ALL,
        volumes::ALL,
        volumes_remote::ALL,
        inspect::ALL,
        isolation::ALL,
        keys::ALL,
        plans::ALL,
        keys_contents::ALL,
        keys_deploy::ALL,
        keys_devices::ALL,
        keys_hooks::ALL,
        keys_build::ALL,
        keys_refused::ALL,
        keys_run::ALL,
        keys_shown::ALL,
        keys_provider::ALL,
        keys_kernel::ALL,
        keys_limits::ALL,
        keys_mounts::ALL,
        keys_watch::ALL,
        mistakes::ALL,
        prune::ALL,
        boot::ALL,
    ])
}
