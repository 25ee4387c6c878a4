fn main() {
    let data = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"));
    let mut ebpf = aya::EbpfLoader::new().load(data).unwrap();
    for (name, program) in ebpf.programs_mut() {
        let r = match program {
            aya::programs::Program::SchedClassifier(p) => p.load(),
            aya::programs::Program::Xdp(p) => p.load(),
            _ => continue,
        };
        match r {
            Ok(()) => println!(
                "{name} ok {:?}",
                program.info().map(|i| (
                    i.verified_instruction_count(),
                    i.size_jitted(),
                    i.size_translated()
                ))
            ),
            Err(e) => {
                let s = format!("{name} {e:#} {e:?}").replace("\\n", "\n");
                println!("{}", &s[s.len().saturating_sub(6000)..])
            }
        }
    }
}
