//! The mutants are those of the code as it is.

use std::path::Path;

#[test]
fn every_mutant_can_still_be_made() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mutants = chaos::mutants::all(&checkout).unwrap();
    assert_eq!(mutants.len(), 5);
    for mutant in mutants {
        mutant.apply(&checkout, &["--check"]).unwrap();
    }
}
