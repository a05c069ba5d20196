"""What headers say of the body part: the wordings of hospitals, terms, codes and traps."""

import csv
import re
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.body_parts import ANATOMIC_REGIONS
from dicom_node.stated_body_part import (
    IGNORED,
    NOT_A_LIMB,
    BodyPart,
    limb_regions,
    read_body_part,
    read_words,
)

WORDINGS = Path(__file__).with_name("body_part_words.csv")
KEYWORDS = {
    "Study Description": "StudyDescription",
    "Series Description": "SeriesDescription",
    "Protocol Name": "ProtocolName",
}


def item(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def header_of(wording: str) -> Dataset:
    """Made from a row of the table: a Body Part Examined, or what stands in parentheses."""
    header = Dataset()
    if not (found := re.fullmatch(r"\((\w+); (.*)\)", wording)):
        header.BodyPartExamined = wording
        return header
    header.BodyPartExamined = "" if found[1] == "empty" else found[1]
    if quoted := re.fullmatch(r'(.*) "(.*)"', found[2]):
        setattr(header, KEYWORDS[quoted[1]], quoted[2])
        return header
    name, value, scheme, meaning = re.fullmatch(
        r"(.* Sequence) (\S+) (\S+) (.*)", found[2]
    ).groups()  # type: ignore[union-attr]
    setattr(header, name.replace(" ", ""), [item(value, scheme, meaning)])
    return header


def wordings() -> list[tuple[str, str]]:
    with WORDINGS.open(encoding="utf-8", newline="") as file:
        return [(row["word"], row["right"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("wording", "right"), wordings())
def test_a_wording_of_hospitals_is_understood(wording: str, right: str) -> None:
    said = read_body_part(header_of(wording))

    assert said.surely_elsewhere is (right == "left out"), said
    assert bool(said.contradiction) is ("contradiction" in right), said


def test_the_table_of_wordings_holds_both_kinds() -> None:
    rights = [right for _, right in wordings()]
    assert rights.count("left out") >= 25
    assert len(rights) - rights.count("left out") >= 60


LIMBS = (
    "HAND|HAND, FOOT|FOOT, ANKLE|ANKLE, WRIST|WRIST, KNEE|KNEE, HIP|HIP, THIGH|FEMUR, FEMUR|FEMUR, "
    "LEG|LEG, LOWERLEG|LEG, FOREARM|FOREARM, ELBOW|ELBOW, HUMERUS|HUMERUS, UPPERARM|HUMERUS, "
    "SHOULDER|SHOULDER, CLAVICLE|CLAVICLE, SCAPULA|SCAPULA, FINGER|FINGER, THUMB|THUMB, TOE|TOE, "
    "CALCANEUS|CALCANEUS, PATELLA|PATELLA, RADIUS|FOREARM, ULNA|FOREARM, TIBIA|LEG, FIBULA|LEG, "
    "EXTREMITY|EXTREMITY, UPPERLIMB|UPPERLIMB, LOWERLIMB|LOWERLIMB, ARM|ARM, CALF|LEG, "
    "ACJOINT|SHOULDER, SCJOINT|CLAVICLE, RADIUSULNA|FOREARM, TIBIAFIBULA|LEG, CARPUS|WRIST, "
    "WHOLEBODY|EXTREMITY, Wirst|WRIST, ANKEL|ANKLE, sholder|SHOULDER, CLAVICAL|CLAVICLE, "
    "extremeties|EXTREMITY, LeftHand|HAND, HANDGELENKE|WRIST, Schlüsselbein|CLAVICLE, "
    "GENOU FACE ET PROFIL|KNEE, avant-bras|FOREARM, épaule droite|SHOULDER, tobillo izq|ANKLE, "
    "dedos de la mano|FINGER, polso sinistro|WRIST, caviglia dx|ANKLE, ginocchia|KNEE, pols|WRIST, "
    "enkel li|ANKLE, bovenbeen|FEMUR, tornozelo|ANKLE, antebraço|FOREARM, nadgarstek|WRIST, "
    "staw kolanowy lewy|KNEE, podudzie|LEG, handled höger|WRIST, knä|KNEE, underben|LEG, "
    "коленный сустав|KNEE, 右膝|KNEE, femoral head|HIP, neck of femur|HIP, radial head|ELBOW, "
    "head of fibula|LEG, scapular spine|SCAPULA, tête radiale|FOREARM, Schenkelhals|HIP"
)


@pytest.mark.parametrize("pair", [pair.strip() for pair in LIMBS.split(",")])
def test_a_word_for_a_limb_names_its_region(pair: str) -> None:
    word, region = pair.split("|")
    said = read_words(word)
    assert said.region == region
    assert not said.surely_elsewhere
    assert not said.contradiction
    assert said.unknown == ()


OTHERS = (
    "ABDOMEN, ABDOMENPELVIS, CHEST, CHESTABDOMEN, CHESTABDPELVIS, CSPINE, CTSPINE, COCCYX, HEAD, "
    "HEADNECK, HEART, ILIUM, IAC, JAW, KIDNEY, LARYNX, LIVER, LSPINE, LSSPINE, LUNG, MAXILLA, "
    "NECK, NECKCHEST, NOSE, ORBIT, PELVIS, RIB, SACRUM, SKULL, SPINE, SSPINE, STERNUM, STOMACH, "
    "TLSPINE, TMJ, TSPINE, ZYGOMA, MANDIBLE, BREAST, BLADDER, COLON, FACE, BACK, MEDIASTINUM, "
    "SIJOINT, Portable Chest, CXR, chest pa/lat, Thoraxaufnahme, Beckenübersicht, Halswirbelsäule, "
    "BWS, Zahn, Unterkiefer, bassin de face, rachis lombaire, crâne, columna lumbar, cráneo, "
    "senos paranasales, torace, colonna cervicale, bacino, coluna lombar, bacia, klatka piersiowa, "
    "kręgosłup, miednica, borstkas, wervelkolom, bekken, bröstkorg, ländrygg, bäcken, "
    "грудная клетка, позвоночник, 胸部, 腰椎, KUB, OPG, LWS 2 Ebenen, ribs left, L-SPINE, Rippen re"
)


@pytest.mark.parametrize("word", [word.strip() for word in OTHERS.split(",")])
def test_a_word_for_another_part_leaves_out(word: str) -> None:
    assert read_words(word).surely_elsewhere


TRAPS = (
    "ship, whip, chip, ribbon, caribbean, alarm, charm, legend, college, handicap, chestnut, "
    "chester, headache clinic, armada, footage, spineless, hipaa, tibet, C-Arm, C-Bogen, "
    "hand held, feet first, head first, Main Building, face, LONG, sein, ABD, EXT, PE, CARA, "
    "iliac oblique, KÉZ, LÁB, xyz, Sacred Heart Hospital, Chest Clinic, dental clinic, "
    "AP, LAT, 12, II, R, ''"
)


@pytest.mark.parametrize("word", [word.strip() for word in TRAPS.split(",")])
def test_a_trap_leaves_nothing_out_and_names_no_limb(word: str) -> None:
    for said in (read_words("", series_text=word), read_words("", study_text=word)):
        assert not said.surely_elsewhere, said
        assert said.region == "", said


@pytest.mark.parametrize(
    "text",
    [
        "XR CHEST PORTABLE C-ARM",
        "CHEST AP ARMS UP",
        "Thorax liegend, Fußende",
        "CXR ?PE",
        "Main Building: CHEST PA",
        "Hand held chest",
    ],
)
def test_words_that_only_look_like_limbs_do_not_bring_a_chest_in(text: str) -> None:
    assert read_words("", study_text=text).surely_elsewhere


def test_an_unknown_word_of_the_image_outweighs_what_the_study_is_called() -> None:
    assert read_words("", study_text="XR CHEST PA").surely_elsewhere
    assert not read_words("KÉZ", study_text="XR CHEST PA").surely_elsewhere
    assert not read_words("", series_text="kéz AP", study_text="XR CHEST PA").surely_elsewhere
    assert read_words("THORAX", series_text="xyz").surely_elsewhere


def test_unknown_values_are_told_as_they_stand() -> None:
    assert read_words("KÉZ\\chest").unknown == ("KÉZ",)
    assert not read_words("KÉZ\\chest").surely_elsewhere


def test_every_anatomic_region_that_we_write_is_understood_by_its_code_alone() -> None:
    for term, (code, _) in ANATOMIC_REGIONS.items():
        header = Dataset()
        header.AnatomicRegionSequence = [item(code, "SCT", "")]
        said = read_body_part(header)
        assert said.understood, term
        assert bool(said.region) is not said.surely_elsewhere


def test_a_view_that_one_region_alone_has_is_understood() -> None:
    header = Dataset()
    header.ViewPosition = "WATERS"
    assert read_body_part(header).surely_elsewhere
    header.ViewPosition = "SKYLINE"
    assert read_body_part(header).region == "PATELLA"


def test_a_requested_procedure_is_read_where_the_request_stands() -> None:
    request, header = Dataset(), Dataset()
    request.RequestedProcedureCodeSequence = [item("36643-5", "LN", "")]
    header.RequestAttributesSequence = [request]
    assert read_body_part(header).surely_elsewhere
    request.RequestedProcedureDescription = "and left hand"
    assert not read_body_part(header).surely_elsewhere


def test_the_sites_own_words_are_stronger_than_the_table() -> None:
    words = {"KÉZ": "HAND", "Thorax": "SHOULDER", "ROOM": NOT_A_LIMB, "BOX": IGNORED}
    assert read_words("kez", words).region == "HAND"
    assert read_words("THORAX", words).region == "SHOULDER"
    assert read_words("ROOM 3", words).surely_elsewhere
    assert read_words("BOX", words) == BodyPart()


def test_every_region_of_the_views_and_codes_is_one_of_the_table() -> None:
    assert {"HAND", "EXTREMITY", "HIP", "ARM"} <= set(limb_regions())


def test_a_value_that_cannot_be_read_counts_as_not_stated() -> None:
    header = Dataset()
    header.BodyPartExamined = "\\".join(["CHEST"] * 10_000)
    header.add_new("ProcedureCodeSequence", "SQ", [])
    assert read_body_part(header).surely_elsewhere
