//! What we write must parse with another implementation; what others write must not hurt.

use super::*;
use proptest::prelude::*;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE};

fn ask(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(0x1234);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(name).unwrap(),
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().unwrap()
}

fn v4(n: u8) -> IpAddr {
    Ipv4Addr::new(172, 18, 0, n).into()
}

#[test]
fn an_answer_parses_elsewhere_and_rotates() {
    let message = ask("Web.Front", TYPE::A);
    let query = Query::parse(&message).unwrap();
    assert_eq!((query.name.as_str(), query.kind), ("web.front", Kind::A));
    let records = Records::Addresses(vec![v4(2), v4(3), Ipv6Addr::LOCALHOST.into()]);
    let first = |turn| {
        let bytes = query.reply(&records, turn, 512);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.id(), packet.answers.len()), (0x1234, 2));
        assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED));
        let RData::A(a) = &packet.answers[0].rdata else {
            panic!("no A record")
        };
        Ipv4Addr::from(a.address)
    };
    assert_eq!(
        [first(0), first(1), first(2)],
        [2, 3, 2].map(|n| Ipv4Addr::new(172, 18, 0, n))
    );
}

#[test]
fn a_known_name_without_such_records_is_no_error() {
    let message = ask("web", TYPE::AAAA);
    let bytes = Query::parse(&message)
        .unwrap()
        .reply(&Records::Addresses(vec![v4(2)]), 0, 512);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(
        (packet.rcode(), packet.answers.len()),
        (simple_dns::RCODE::NoError, 0)
    );
    let authority = &packet.name_servers[0];
    assert!(
        matches!(&authority.rdata, RData::SOA(soa) if soa.minimum == 1)
            && authority.name.to_string() == "web",
        "so that the nothing is believed, and for how long"
    );
}

#[test]
fn who_speaks_edns_is_answered_in_it_and_told_when_the_version_is_unknown() {
    let mut packet = Packet::new_query(7);
    packet.questions.push(Question::new(
        Name::new("web").unwrap(),
        QTYPE::TYPE(TYPE::A),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    *packet.opt_mut() = Some(simple_dns::rdata::OPT {
        opt_codes: Vec::new(),
        udp_packet_size: 1232,
        version: 0,
    });
    let message = packet.build_bytes_vec().unwrap();
    let query = Query::parse(&message).unwrap();
    assert_eq!(query.udp_limit(), 1232);
    let many: Vec<IpAddr> = (0..200).map(v4).collect();
    let bytes = query.reply(&Records::Addresses(many), 0, query.udp_limit());
    assert!(bytes.len() <= 1232);
    let answer = Packet::parse(&bytes).unwrap();
    assert!(answer.has_flags(PacketFlag::TRUNCATION) && answer.opt().is_some());
    let mut later = message.clone();
    let version = later.len() - 5;
    assert_eq!(query.bad_version(), None);
    later[version] = 1;
    let told = Query::parse(&later).unwrap().bad_version().unwrap();
    assert_eq!(told[told.len() - 6], 1, "BADVERS");
}

#[test]
fn reverse_names_of_both_families() {
    let address = |name: &str| {
        Query::parse(&ask(name, TYPE::PTR))
            .unwrap()
            .reverse_address()
    };
    assert_eq!(address("2.0.18.172.in-addr.arpa"), Some(v4(2)));
    let mut six = "1.".to_owned() + &"0.".repeat(31);
    six.push_str("ip6.arpa");
    assert_eq!(address(&six), Some(Ipv6Addr::LOCALHOST.into()));
    assert_eq!(address("x.in-addr.arpa"), None);
    assert_eq!(address("1.ip6.arpa"), None);
    let bytes = Query::parse(&ask("2.0.18.172.in-addr.arpa", TYPE::PTR))
        .unwrap()
        .reply(&Records::Name("web.front".into()), 0, 512);
    let packet = Packet::parse(&bytes).unwrap();
    assert!(
        matches!(&packet.answers[0].rdata, RData::PTR(name) if name.0.to_string() == "web.front")
    );
}

#[test]
fn what_does_not_fit_is_cut_and_says_so() {
    let message = ask("many", TYPE::A);
    let query = Query::parse(&message).unwrap();
    let records = Records::Addresses((0..200).map(v4).collect());
    let cut = query.reply(&records, 0, query.udp_limit());
    assert!(cut.len() <= 512);
    assert!(
        Packet::parse(&cut)
            .unwrap()
            .has_flags(PacketFlag::TRUNCATION)
    );
    let whole = query.reply(&records, 0, 65_535);
    assert_eq!(Packet::parse(&whole).unwrap().answers.len(), 200);
}

#[test]
fn hostile_queries_are_refused_or_ignored() {
    let header = |flags: u8, questions: u8| [0, 1, flags, 0, 0, questions, 0, 0, 0, 0, 0, 0];
    let with = |flags, questions, rest: &[u8]| [&header(flags, questions)[..], rest].concat();
    let refused = |message: &[u8]| {
        Query::parse(message)
            .unwrap_err()
            .map(|reply| reply[3] & 0xf)
    };
    assert_eq!(refused(&[]), None);
    assert_eq!(refused(&[0; 11]), None);
    assert_eq!(
        refused(&with(0x80, 1, &[0, 0, 1, 0, 1])),
        None,
        "an answer is not answered"
    );
    assert_eq!(
        refused(&with(0x28, 1, &[0, 0, 1, 0, 1])),
        Some(4),
        "an update"
    );
    assert_eq!(refused(&with(0, 0, &[])), Some(1));
    assert_eq!(refused(&with(0, 2, &[0, 0, 1, 0, 1])), Some(1));
    assert_eq!(
        refused(&with(0, 1, &[0xc0, 12, 0, 1, 0, 1])),
        Some(1),
        "a pointer to itself"
    );
    assert_eq!(
        refused(&with(0, 1, &[63])),
        Some(1),
        "a label beyond the end"
    );
    assert_eq!(refused(&with(0, 1, &[0, 0, 1])), Some(1), "no class");
    let long: Vec<u8> = std::iter::repeat_n([1, b'a'], 200).flatten().collect();
    assert_eq!(refused(&with(0, 1, &long)), Some(1), "a name of 400 bytes");
}

#[test]
fn only_the_answer_to_the_question_asked_counts() {
    let message = ask("web", TYPE::A);
    let query = Query::parse(&message).unwrap();
    let answer = query.reply(&Records::Addresses(vec![v4(2)]), 0, 512);
    assert!(is_answer(&answer, query.id(), query.question));
    assert!(!is_answer(&answer, [9, 9], query.question));
    assert!(
        !is_answer(&message, query.id(), query.question),
        "a query is no answer"
    );
    let other = ask("mew", TYPE::A);
    assert!(!is_answer(
        &answer,
        query.id(),
        Query::parse(&other).unwrap().question
    ));
    assert!(!is_answer(&answer[..HEADER], query.id(), query.question));
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(message in proptest::collection::vec(any::<u8>(), 0..600), turn: usize) {
        if let Ok(query) = Query::parse(&message) {
            let _ = query.reverse_address();
            let reply = query.reply(&Records::Addresses(vec![v4(1), Ipv6Addr::LOCALHOST.into()]), turn, query.udp_limit());
            prop_assert!(reply.len() <= message.len() + 64, "no amplification");
            let _ = is_answer(&message, [1, 2], query.question);
        }
    }

    #[test]
    fn a_query_cut_or_changed_anywhere_does_not_hurt(cut in 0usize..40, at in 0usize..40, to: u8) {
        let mut message = ask("some.name.example", TYPE::AAAA);
        if let Some(byte) = message.get_mut(at) {
            *byte = to;
        }
        message.truncate(message.len().saturating_sub(cut));
        let _ = Query::parse(&message);
    }
}
