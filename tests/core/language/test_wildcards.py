"""Wildcard files: names, globs, YAML as others write it, and everything that can be wrong with them."""

import unicodedata

import pytest
from isi.core.language.choices import WildcardError
from isi.core.language.mistakes import ScriptError
from isi.core.language.resolve import as_written, check_wildcards, drawn, drawn_text, every
from isi.core.language.script import parse
from isi.core.language.wildcards import WildcardFiles


@pytest.fixture
def files(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))

    write("animal.txt", "# a list\ncat\n\n  dog  \n")
    write("trees/fir.txt", "fir\n")
    write("trees/fox.txt", "foxglove\n2::fern\n0::none\n")
    write("trees/oak.txt", "oak {a|b}\n")
    write("deep.yaml", "colours:\n  warm: [red, orange]\n  Cold: [blue]\nsizes: [1, 2.5]\n")
    write("plain.yml", "- one\n- two\n")
    return write


@pytest.fixture
def wildcards(tmp_path, files):
    return WildcardFiles([tmp_path / "missing", tmp_path])


def texts(script, wildcards):
    return [said.prompt for said in every(parse(script), wildcards)]


NAMES = [
    ("__animal__", ["cat", "dog"]),
    ("__Animal__", ["cat", "dog"]),
    ("__trees/fo*__", ["foxglove", "fern"]),
    ("__trees/f*__", ["fir", "foxglove", "fern"]),
    (r"__trees\fir__", ["fir"]),
    ("__/trees/fir__", ["fir"]),
    ("__trees/oak__", ["oak a", "oak b"]),
    ("__colours/warm__", ["red", "orange"]),
    ("__colours/*__", ["blue", "red", "orange"]),
    ("__sizes__", ["1", "2.5"]),
    ("__plain__", ["one", "two"]),
]


@pytest.mark.parametrize(("script", "lines"), NAMES)
def test_names_and_globs(script, lines, wildcards):
    assert texts(script, wildcards) == lines


def test_the_first_folder_counts(tmp_path, files):
    files("mine/animal.txt", "bear\n")
    assert texts("__animal__", WildcardFiles([tmp_path / "mine", tmp_path])) == ["bear"]


@pytest.mark.parametrize("data", ["\ufeffgrün\n".encode(), "grün\r\n".encode("utf-16"), "grün".encode()])
def test_utf_8_and_utf_16_with_their_marks(files, wildcards, data):
    files("c.txt", data)
    assert texts("__c__", wildcards) == ["grün"]


WRONG = [
    ("c.txt", "绿".encode("gbk"), "__c__", "not UTF-8", "wildcard_file"),
    ("c.txt", b"red\ncaf\xe9\n", "__c__", "line 2", "wildcard_file"),
    ("c.txt", "# nothing\n", "__c__", "has no lines", "wildcard_empty"),
    ("c.yaml", "a: [b", "__a__", "is no YAML", "wildcard_file"),
    ("c.yaml", "a:\nb: ~\n", "__b__", "There is no wildcard __b__", "unknown_wildcard"),
    ("c.txt", "ok\n__d__\n", "__c__", "There is no wildcard __d__", "unknown_wildcard"),
    ("c.txt", "x {0::a|0::b}\n", "__c__", "weigh 0", "choice_weightless"),
    ("c.txt", "a\nb __c__\n", "__c__", "__c__ -> __c__", "wildcard_circle"),
    ("c.txt", "{x|__c*__}\n", "__c__", "calls itself", "wildcard_circle"),
    ("c.txt", "a", "__animals__", "Near: __animal__", "unknown_wildcard"),
    ("c.txt", "a", "__../c__", "leads out of its folder", "wildcard_outside"),
]


@pytest.mark.parametrize(("name", "content", "script", "says", "key"), WRONG)
def test_what_is_wrong_is_said_with_its_place_in_the_script(
    files, wildcards, name, content, script, says, key
):
    files(name, content)
    with pytest.raises(ScriptError, match=says) as caught:
        check_wildcards(parse("a;\nred " + script), wildcards)
    assert (caught.value.line, caught.value.column, caught.value.key) == (2, 5, key)


def test_a_yaml_file_is_the_words_that_are_written_and_runs_nothing(files, wildcards, tmp_path):
    files("c.yaml", "a: [1.50, 16:9, no, 007, 2020-01-01, ~, null, '', yes]\nb: one word\n")
    files("d.yaml", f"d: !!python/object/apply:os.mkdir [{(tmp_path / 'made').as_posix()}]\n")
    assert texts("__a__", wildcards) == ["1.50", "16:9", "no", "007", "2020-01-01", "yes"]
    assert texts("__b__", wildcards) == ["one word"]
    assert texts("__d__", wildcards) == [(tmp_path / "made").as_posix()] and not (tmp_path / "made").exists()


def test_every_file_has_a_name_that_can_be_written(files, wildcards):
    parts = unicodedata.normalize("NFD", "café가")
    for name in ("a  b", "_x_", "my__list", "a, (b) [c]", "a;b@c$d", "BIG", parts, "(d) e/f g"):
        files(f"{name}.TXT", f"{name} of many\n")
    names = wildcards.names()
    assert {"a_b", "x", "my_list", "a_b_c", "a_b_c_d", "big", "café가", "d_e/f_g"} <= set(names)
    for name in names:
        assert texts(f"__{name}__", wildcards)


def test_a_circle_through_two_files_and_a_long_chain(files, wildcards):
    files("x.txt", "__y__\n")
    files("y.txt", "{a|__x__}\n")
    with pytest.raises(ScriptError, match="__x__ -> __y__ -> __x__"):
        check_wildcards(parse("__x__"), wildcards)
    for i in range(20):
        files(f"n{i}.txt", f"{{a|__n{i + 1}__}}\n" if i % 2 else f"__n{i + 1}__\n")
    files("n20.txt", "end\n")
    for text in ("__n0__", "__n12__", "__n14__ __n11__", *(f"__n{i}__" for i in range(12))):
        with pytest.raises(ScriptError, match="at most 8 deep"):
            check_wildcards(parse(text), WildcardFiles(wildcards.folders))
    check_wildcards(parse("__n13__"), WildcardFiles(wildcards.folders))


def test_the_deepest_that_is_allowed_stays_within_the_stack(files, wildcards):
    nest = "{a|" * 20
    for i in range(8):
        files(f"n{i}.txt", nest + f"__n{i + 1}__" + "}" * 20)
    files("n7.txt", "end\n")
    script = parse(nest + "__n0__" + "}" * 20)
    check_wildcards(script, wildcards)
    assert len(every(script, wildcards)) == 20 * 8 + 1
    (said,) = as_written(script)
    assert {drawn(script, said, seed, wildcards).prompt for seed in range(300)} == {"a"}


def test_aliases_of_yaml_do_not_grow(files, wildcards):
    lines = ["a0: &a0 [x]"] + [
        f"a{i}: &a{i} {{k: [*a{i - 1}" + f", *a{i - 1}" * 8 + "]}" for i in range(1, 9)
    ]
    files("bomb.yaml", "\n".join(lines))
    assert texts("__a0__", wildcards) == ["x"]
    files("wide.yaml", "b: &b [" + "x, " * 999 + "x]\nc:\n" + "".join(f"  k{i}: *b\n" for i in range(1100)))
    with pytest.raises(WildcardError, match="over 1,000,000 lines"):
        WildcardFiles(wildcards.folders).options("b")


def test_a_changed_file_has_another_stamp(files, tmp_path):
    before = WildcardFiles([tmp_path]).stamps()
    assert before == WildcardFiles([tmp_path]).stamps() and len(before) == 6
    files("animal.txt", "# a list\ncat\n\n  dog \nbear\n")
    assert before != WildcardFiles([tmp_path]).stamps()


def test_words_are_drawn_and_nothing_of_a_wildcard_is_structure(files, wildcards):
    files("odd.txt", "a; b @cfg=3 *2, (c, {x|y}\\{\n")
    script = parse("{big {red|blue}} __odd__; plain")
    first, second = (drawn(script, said, 5, wildcards) for said in as_written(script))
    assert first.prompt in {
        f"big {c}, a; b @cfg=3 *2, (c, {o}{{" for c in ("red", "blue") for o in ("x", "y")
    }
    assert second.prompt in ("big red, plain", "big blue, plain")
    assert first.group.text == first.prompt.partition(", ")[2]


def test_an_escaped_name_is_the_name_whatever_else_is_drawn(wildcards):
    for text in (r"\__animal__", r"x \__animal__ y", r"\__animal__ {a}"):
        assert drawn_text(text, 0, wildcards, "Prompt") == text.replace("\\", "")
    assert texts(r"{\__oil__} \__animal__; b", wildcards) == ["__oil__, __animal__", "__oil__, b"]
    (step,) = every(parse(r'a @negative="\__animal__"'), wildcards)
    assert (step.prompt, step.group.negative) == ("a", "__animal__")


def test_a_step_that_draws_nothing_is_the_very_same(wildcards):
    script = parse(r"a \{b\|c\} (d:1.2); e @negative=x")
    for said in as_written(script):
        assert drawn(script, said, 1, wildcards) is said
    assert every(script, wildcards) == as_written(script)


def test_editing_a_group_leaves_the_words_of_the_others(wildcards):
    def words(text):
        script = parse(text)
        return [drawn(script, said, 100 + i, wildcards).group for i, said in enumerate(as_written(script))]

    before = words('{a|b|c|d|e} x; {f|g|h|i}; {j|k|l|m} @negative="{n|o|p}"')
    after = words('something else; {f|g|h|i}; {j|k|l|m} @negative="{n|o|p}"')
    assert before[1:] == after[1:]


def test_too_many_combinations_are_said_with_their_place(wildcards):
    with pytest.raises(ScriptError, match="over 10,000 steps") as caught:
        every(parse("a; b " + "{a|b}" * 14), wildcards)
    assert (caught.value.column, caught.value.key) == (6, "too_many_combinations")
    assert len(every(parse("{a|b}" * 13), wildcards)) == 8192
    with pytest.raises(ScriptError, match="over 10,000 steps"):
        every(parse("{a|b}" * 13 + " *2"), wildcards)


def test_a_folder_with_too_many_files_is_said_and_not_read_in_part(files, wildcards, tmp_path, monkeypatch):
    monkeypatch.setattr("isi.core.language.wildcards.MOST_FILES", 8)
    assert len(list(tmp_path.rglob("*"))) == 7
    files("z1.txt", "a\n")
    assert texts("__z1__", wildcards) == ["a"]
    files("z2.txt", "a\n")
    again = WildcardFiles(wildcards.folders)
    for _ in range(2):
        with pytest.raises(ScriptError, match="holds over 8 files and folders"):
            check_wildcards(parse("__animal__"), again)
