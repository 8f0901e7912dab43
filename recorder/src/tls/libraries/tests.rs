#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use super::*;

const MAPS: &[u8] = b"\
555500000000-555500010000 r--p 00000000 fe:00 100                        /usr/sbin/nginx
555500010000-555500080000 r-xp 00010000 fe:00 100                        /usr/sbin/nginx
555500080000-555500081000 rw-p 00080000 00:00 0                          [heap]
7f0000000000-7f0000010000 r-xp 00000000 fe:00 7 /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000020000-7f0000030000 r-xp 00001000 00:2f 55                         /usr/lib/libssl.so.3 (deleted)
7f0000040000-7f0000050000 r-xp 00009000 00:2f 55                         /usr/lib/libssl.so.3 (deleted)
7f0000060000-7f0000070000 r-xp 00000000 fe:00 9                          /opt/with space/a\\012b.so
7f0000080000-7f0000090000 r--p 00000000 fe:00 10                         /usr/lib/not-executed.so
7f00000a0000-7f00000b0000 rwxp 00000000 00:00 0
7f00000c0000-7f00000d0000 r-xp 00000000 00:05 4                          anon_inode:[x]
7fff00000000-7fff00002000 r-xp 00000000 00:00 0                          [vdso]
nonsense
";

#[test]
fn the_maps_of_a_process_name_each_executed_file_once() {
    let found = parse(MAPS);
    let paths: Vec<&str> = found.iter().map(|mapping| mapping.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["/usr/lib/libssl.so.3", "/opt/with space/a\nb.so", "/usr/sbin/nginx"]);
    let libssl = &found[0];
    assert_eq!((libssl.device, libssl.inode, libssl.is_deleted), ((0, 0x2f), 55, true));
    assert_eq!((libssl.start, libssl.end), (0x7f00_0002_0000, 0x7f00_0003_0000));
}

#[test]
fn what_this_test_executes_is_found_by_its_path_alone_as_well() {
    let roots = Roots::default();
    let own = std::process::id();
    let program = std::env::current_exe().unwrap();
    let mappings = executed(&roots, own).unwrap();
    let mapping = mappings.iter().find(|mapping| mapping.path == program).unwrap();
    let file = open(&roots, own, mapping).unwrap();
    assert_eq!(file.key.inode, std::fs::metadata(&program).unwrap().ino());
    // As if the mapping were gone: then only the path is left.
    let moved = Mapping { start: 1, end: 2, ..mapping.clone() };
    assert_eq!(open(&roots, own, &moved).unwrap().key, file.key);
    let other = Mapping { inode: mapping.inode + 1, ..moved.clone() };
    assert_eq!(open(&roots, own, &other).unwrap_err().to_string(), "another file is in its place");
    let deleted = Mapping { is_deleted: true, ..moved };
    assert!(open(&roots, own, &deleted).unwrap_err().to_string().contains("deleted"));
}
