//! Any packet is answered shorter than the largest answer over UDP, or dropped.
#![no_main]

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    if let Some(answer) = network::dns::refusal(packet) {
        assert!(answer.len() >= 12, "a header at least");
        assert!(answer.len() <= packet.len().max(12) + 11, "no amplification");
        assert_eq!(answer[..2], packet[..2], "the question's id");
    }
    let addresses: Vec<std::net::IpAddr> = (0..=255).map(|n| [10, 0, 0, n].into()).collect();
    for known in [&addresses[..], &[]] {
        if let Some(answer) = network::dns::answer_with(packet, known) {
            assert!(answer.len() <= 4096, "what goes by UDP");
            assert_eq!(answer[..2], packet[..2], "the question's id");
        }
    }
});
