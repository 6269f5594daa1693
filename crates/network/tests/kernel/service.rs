//! A service with one address: stable, balanced, and only for its network.

use crate::world::{Container, World, eventually};
use network::NetworkRecord;
use std::net::IpAddr;

fn replica(world: &World, name: &'static str, net: &NetworkRecord) -> Container {
    let made = world.container_asking(name, &[net], |request| {
        request.share_group = Some("shop/web");
        request.service_address = true;
        request.endpoints[0].1.aliases = vec!["web".into()];
    });
    let made = made.unwrap();
    made.space.serve("0.0.0.0:80", name);
    made
}

/// What the names of the network say about the service.
fn addresses(world: &World, net: &NetworkRecord) -> Vec<IpAddr> {
    let entries = network::names(&world.layout, &net.name);
    let service = entries.into_iter().find_map(|entry| entry.service);
    service.expect("a service").addresses
}

fn counts(client: &Container, to: IpAddr, of: usize) -> [usize; 3] {
    let mut counts = [0; 3];
    for _ in 0..of {
        let text = client.space.ask(format!("{to}:80")).unwrap_or_default();
        let who = ["one", "two"]
            .iter()
            .position(|name| text.starts_with(name));
        counts[who.unwrap_or(2)] += 1;
    }
    counts
}

#[test]
fn a_service_has_one_address_that_leads_to_its_containers_in_turn() {
    let world = World::new();
    let (net, other) = (world.network("n", |_| {}), world.network("other", |_| {}));
    let client = world.container("client", &[&net]);
    let stranger = world.container("stranger", &[&other]);
    let one = replica(&world, "one", &net);
    let vip = addresses(&world, &net)[0];
    assert_eq!(counts(&client, vip, 4), [4, 0, 0]);
    let two = replica(&world, "two", &net);
    assert_eq!(addresses(&world, &net), [vip], "the same for all");
    assert!(one.ip() != vip && two.ip() != vip);
    eventually("both answer", || {
        let [one, two, nobody] = counts(&client, vip, 16);
        assert_eq!(nobody, 0);
        one > 0 && two > 0
    });
    let [first, second, nobody] = counts(&one, vip, 16);
    assert!(
        first > 0 && second > 0 && nobody == 0,
        "a container of its own, and itself"
    );
    assert_eq!(
        stranger.space.ask(format!("{vip}:80")),
        None,
        "another network"
    );
    network::set_serving(&world.layout, &one.id, false).unwrap();
    assert_eq!(
        counts(&client, vip, 8),
        [0, 8, 0],
        "the unhealthy one is left out"
    );
    network::set_serving(&world.layout, &one.id, true).unwrap();
    network::reload(&world.layout).unwrap();
    eventually("both again", || {
        let [one, two, nobody] = counts(&client, vip, 16);
        one > 0 && two > 0 && nobody == 0
    });
    world.detach(two);
    assert_eq!(counts(&client, vip, 8), [8, 0, 0]);
    world.detach(one);
    assert_eq!(counts(&client, vip, 1), [0, 0, 1]);
    let again = replica(&world, "two", &net);
    assert_eq!(
        addresses(&world, &net),
        [vip],
        "stable while the network is there"
    );
    assert_eq!(counts(&client, vip, 4), [0, 4, 0]);
    world.detach(again);
    network::sweep(&world.layout, &|id| id == client.id || id == stranger.id).unwrap();
    let leases = network::leases(&world.layout, "n").unwrap();
    assert_eq!(
        leases.len(),
        1,
        "given back with the last of the service: {leases:?}"
    );
}

#[test]
fn new_connections_go_to_those_that_serve_and_do_not_leave() {
    let world = World::new();
    let net = world.network("n", |_| {});
    let client = world.container("client", &[&net]);
    let one = replica(&world, "one", &net);
    let two = world.container_asking("two", &[&net], |request| {
        request.share_group = Some("shop/web");
        request.service_address = true;
        request.serves_later = true;
    });
    let two = two.unwrap();
    two.space.serve("0.0.0.0:80", "two");
    let vip = addresses(&world, &net)[0];
    assert_eq!(
        counts(&client, vip, 8),
        [8, 0, 0],
        "its health is not known"
    );
    network::set_serving(&world.layout, &two.id, true).unwrap();
    network::withdraw(&world.layout, &one.id).unwrap();
    assert_eq!(counts(&client, vip, 8), [0, 8, 0]);
    network::set_serving(&world.layout, &one.id, true).unwrap();
    assert_eq!(counts(&client, vip, 8), [0, 8, 0], "whatever its health");
    network::readmit(&world.layout, &one.id).unwrap();
    eventually("both answer", || {
        let [one, two, _] = counts(&client, vip, 16);
        one > 0 && two > 0
    });
}
