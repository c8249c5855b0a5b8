//! Statistics and settings.

use ctnetlink::{NetworkNamespace, sysctl};

use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    table_statistics_count_flows;
    every_processor_has_statistics;
    settings_are_read_and_written;
    settings_of_another_namespace_are_read_and_written;
    every_setting_of_this_kernel_has_a_constant;
}

fn table_statistics_count_flows(lab: &Lab) {
    let mut client = lab.client();
    for number in 1..=5 {
        client.create(&udp_flow(number)).unwrap();
    }
    let statistics = client.statistics().unwrap();
    assert_eq!(statistics.entries, Some(5));
    assert_eq!(statistics.max_entries, Some(sysctl::MAX.read().unwrap()));
    assert_eq!(sysctl::COUNT.read().unwrap(), 5);
}

fn every_processor_has_statistics(lab: &Lab) {
    // Linux 6.18 counts only flows created through netlink as inserts, not flows of packets.
    lab.client().create(&udp_flow(1)).unwrap();
    let statistics = lab.client().cpu_statistics().unwrap();
    assert!(statistics.len() >= std::thread::available_parallelism().unwrap().get());
    let total = statistics.iter().fold(ctnetlink::CpuStatistics::default(), |sum, cpu| sum.sum(cpu));
    assert_eq!(total.insert, Some(1));
    assert!(total.found.is_some());
    assert!(statistics.iter().enumerate().all(|(place, cpu)| place == usize::from(cpu.cpu)));
}

fn settings_are_read_and_written(_: &Lab) {
    let before = sysctl::ACCOUNTING.read().unwrap();
    sysctl::ACCOUNTING.write(1 - before).unwrap();
    assert_eq!(sysctl::ACCOUNTING.read().unwrap(), 1 - before);
    let error = sysctl::MAX.write(5).unwrap_err();
    assert!(error.to_string().starts_with("/proc/sys/net/netfilter/nf_conntrack_max: "), "{error}");
}

fn settings_of_another_namespace_are_read_and_written(_: &Lab) {
    let there = NetworkNamespace::of_this_thread().unwrap();
    sysctl::UDP_TIMEOUT.write(77).unwrap();
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        assert_ne!(sysctl::UDP_TIMEOUT.read().unwrap(), 77);
        assert_eq!(sysctl::UDP_TIMEOUT.read_in(&there).unwrap(), 77);
        sysctl::UDP_TIMEOUT.write_in(&there, 78).unwrap();
    };
    std::thread::spawn(elsewhere).join().unwrap();
    assert_eq!(sysctl::UDP_TIMEOUT.read().unwrap(), 78);
}

/// Settings that a distribution adds are excepted.
fn every_setting_of_this_kernel_has_a_constant(_: &Lab) {
    let files = std::fs::read_dir("/proc/sys/net/netfilter").unwrap();
    let names = files.filter_map(|file| file.unwrap().file_name().into_string().ok());
    let unknown: Vec<String> = names
        .filter(|name| name.starts_with("nf_conntrack_") && name != "nf_conntrack_tcp_no_window_check")
        .filter(|name| sysctl::ALL.iter().all(|known| known.name() != name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(sysctl::ALL.iter().filter(|known| known.read().is_ok()).count() > 30);
}
