//! Every kind of damage, found where it was done.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A log of small lines and its head.
struct Log {
    folder: tempfile::TempDir,
    sealer: Sealer,
}

impl Log {
    fn new(key: Option<&Secret>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sealer: Sealer::new(key) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    /// Lines and the head of a whole log.
    fn lines(&self, count: u64) -> (Vec<Vec<u8>>, Head) {
        let mut last = Link::default();
        let mut bytes = 0;
        let lines: Vec<Vec<u8>> = (1..=count)
            .map(|number| {
                let mut line = Vec::new();
                let body = format!("{{\"statement_id\":\"s{number}\",\"status\":\"ok\"");
                last = self.sealer.push_line(last, body.as_bytes(), &mut line);
                bytes += line.len() as u64;
                line
            })
            .collect();
        (lines, Head { after: Link::default(), last, bytes })
    }

    fn verify(&self, text: &[u8], head: &Head, key: Option<&Secret>) -> Report {
        std::fs::write(self.path(), text).unwrap();
        std::fs::write(Head::path(&self.path()), head.write(&self.sealer)).unwrap();
        verify(&self.path(), key, None).unwrap()
    }
}

fn damage(report: &Report) -> Vec<(u64, Damage)> {
    report.findings.iter().map(|finding| (finding.line, finding.damage)).collect()
}

#[test]
fn a_whole_log_is_intact() {
    for count in [0, 1, 5] {
        let log = Log::new(None);
        let (lines, head) = log.lines(count);
        let report = log.verify(&lines.concat(), &head, None);
        assert!(report.is_intact(), "{report}");
        assert_eq!((report.lines, report.last), (count, head.last));
    }
}

#[test]
fn each_kind_of_damage_is_named_with_its_place() {
    let log = Log::new(None);
    let (lines, head) = log.lines(6);
    let all: Vec<usize> = (0..6).collect();
    type Case = (&'static str, fn(&mut Vec<usize>), &'static [(u64, Damage)]);
    let cases: [Case; 7] = [
        ("cut at the start", |order| drop(order.drain(..2)), &[(1, Damage::Cut)]),
        ("cut between", |order| order.retain(|index| *index != 2), &[(3, Damage::Cut)]),
        ("cut at the end", |order| order.truncate(4), &[(4, Damage::Cut)]),
        ("all cut", |order| order.clear(), &[(0, Damage::Cut)]),
        ("swapped", |order| order.swap(2, 3), &[(3, Damage::Cut), (4, Damage::Moved)]),
        ("doubled", |order| order.insert(3, 2), &[(4, Damage::Duplicated)]),
        ("copied to the end", |order| order.push(1), &[(7, Damage::Moved)]),
    ];
    for (name, change, expected) in cases {
        let mut order = all.clone();
        change(&mut order);
        let text: Vec<u8> = order.iter().flat_map(|index| lines[*index].clone()).collect();
        let report = log.verify(&text, &head, None);
        assert_eq!(damage(&report), expected, "{name}: {report}");
    }
}

#[test]
fn a_changed_and_a_forged_line_are_told_apart() {
    let log = Log::new(None);
    let (mut lines, head) = log.lines(4);
    lines[1][17] ^= 1;
    let report = log.verify(&lines.concat(), &head, None);
    assert_eq!(damage(&report), [(2, Damage::Changed)], "{report}");

    let (mut lines, head) = log.lines(4);
    let first = Line::read(lines[0].strip_suffix(b"\n").unwrap()).unwrap().link;
    lines[1].clear();
    log.sealer.push_line(first, b"{\"statement_id\":\"forged\"", &mut lines[1]);
    let report = log.verify(&lines.concat(), &head, None);
    assert_eq!(damage(&report), [(3, Damage::Inserted)], "{report}");
}

#[test]
fn a_log_rewritten_without_the_key_is_found_out() {
    let key = Secret::new("key");
    let log = Log::new(None);
    let (lines, head) = log.lines(3);
    let report = log.verify(&lines.concat(), &head, Some(&key));
    assert_eq!(report.findings.iter().filter(|finding| finding.damage == Damage::Changed).count(), 3, "{report}");
    assert!(report.findings.iter().any(|finding| finding.damage == Damage::Head), "{report}");
}

#[test]
fn a_log_rewritten_whole_is_found_out_by_the_end_somebody_kept() {
    let log = Log::new(None);
    let (lines, _) = log.lines(5);
    let (shorter, head) = log.lines(4);
    log.verify(&shorter.concat(), &head, None);
    let kept = Line::read(lines[4].strip_suffix(b"\n").unwrap()).unwrap().link;
    let report = verify(&log.path(), None, Some(kept)).unwrap();
    assert_eq!(damage(&report), [(4, Damage::Cut)], "{report}");
    let other = Link { sequence: 3, hash: kept.hash };
    assert_eq!(damage(&verify(&log.path(), None, Some(other)).unwrap()), [(3, Damage::Changed)]);
}

#[test]
fn a_copy_without_its_head_needs_the_expected_end() {
    let log = Log::new(None);
    let (lines, head) = log.lines(3);
    std::fs::write(log.path(), lines.concat()).unwrap();
    assert_eq!(damage(&verify(&log.path(), None, None).unwrap()), [(0, Damage::Head)]);
    assert!(verify(&log.path(), None, Some(head.last)).unwrap().is_intact());
}

#[test]
fn a_statement_without_an_outcome_is_a_warning() {
    let log = Log::new(None);
    let mut text = Vec::new();
    let mut last = Link::default();
    for body in [
        r#"{"statement_id":"a","status":"started""#,
        r#"{"statement_id":"b","status":"started""#,
        r#"{"statement_id":"a","status":"ok""#,
    ] {
        last = log.sealer.push_line(last, body.as_bytes(), &mut text);
    }
    let report = log.verify(&text, &Head { after: Link::default(), last, bytes: text.len() as u64 }, None);
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.unfinished, [(2, "b".to_owned())]);
    let shown = report.to_string();
    assert!(shown.contains("intact, 3 lines, chained without a key"), "{shown}");
    assert!(shown.contains("warning: line 2: statement b has no outcome"), "{shown}");
}

#[test]
fn a_report_reads_well() {
    let log = Log::new(None);
    let (mut lines, head) = log.lines(4);
    lines.remove(1);
    let shown = log.verify(&lines.concat(), &head, None).to_string();
    assert!(shown.contains("NOT INTACT, 3 lines"), "{shown}");
    assert!(
        shown.contains("  line 2 (sequence 3): it follows sequence 1: 1 line missing between them, or moved"),
        "{shown}"
    );
    assert!(shown.ends_with(&format!("  end: 4:{}", head.last.hash)), "{shown}");
}

fn any_key() -> impl Strategy<Value = Option<Secret>> {
    proptest::option::of("[a-z]{1,80}".prop_map(Secret::new))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changed_byte_is_found(key in any_key(), count in 1_u64..8, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let log = Log::new(key.as_ref());
        let (lines, head) = log.lines(count);
        let mut text = lines.concat();
        let at = at.index(text.len());
        prop_assume!(text[at] != to);
        text[at] = to;
        let report = log.verify(&text, &head, key.as_ref());
        prop_assert!(!report.is_intact(), "byte {at} to {to:?}: {report}");
    }

    #[test]
    fn any_cut_swap_or_copy_is_found(count in 2_usize..9, what in 0..3, one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>()) {
        let log = Log::new(None);
        let (mut lines, head) = log.lines(count as u64);
        let (one, two) = (one.index(count), two.index(count));
        match what {
            0 => drop(lines.remove(one)),
            1 => {
                prop_assume!(one != two);
                lines.swap(one, two);
            }
            _ => lines.insert(two, lines[one].clone()),
        }
        let report = log.verify(&lines.concat(), &head, None);
        prop_assert!(!report.is_intact(), "{what} {one} {two}: {report}");
    }

    #[test]
    fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..500), head in proptest::collection::vec(any::<u8>(), 0..300)) {
        let log = Log::new(None);
        std::fs::write(log.path(), text).unwrap();
        std::fs::write(Head::path(&log.path()), head).unwrap();
        verify(&log.path(), None, None).unwrap();
    }
}
