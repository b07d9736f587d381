"""What our widgets say: every text in every language, with the same places, and none that nobody says."""

import ast
import re
from pathlib import Path

import pytest

from tools.locales import ROOT, WORDS, load_words

LANGUAGES = ("en", "zh", "ko")
LETTERS = {"zh": re.compile(r"[\u4e00-\u9fff]"), "ko": re.compile(r"[\uac00-\ud7a3]")}
FORMS = {"en": ({"one", "other"}, {"other"}), "zh": ({"other"},), "ko": ({"other"},)}
PLACE = re.compile(r"\{([a-z_]+)\}")
CALL = re.compile(r'\bsay\(\s*"([^"]+)"(?:,\s*\{(.*?)\}\s*)?\)', re.DOTALL)
SENTENCE = re.compile(r"""["'`>](?:[A-Z][\w']*[ ,]\s*[a-z(]|[a-z]+ [a-z]+ [a-z]+)[^"'`]*["'`]""")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
translated = pytest.mark.parametrize("language", LETTERS)


def sources() -> dict[Path, str]:
    """The code of our scripts, by file, without comments and without the tables of texts."""
    files = [ROOT / "js" / "isi.js", *sorted((ROOT / "js" / "lib").glob("*.*js"))]
    return {file: COMMENT.sub("", file.read_text("utf-8")) for file in files}


def said() -> dict[str, set[str]]:
    """The keys that our scripts name, and the values that every direct call gives."""
    families = "|".join({key.split(".")[0] for key in load_words("en")})
    found: dict[str, set[str]] = {}
    for code in sources().values():
        for key, values in CALL.findall(code):
            names = set(re.findall(r"(?:^|[,{])\s*(\w+)", values))
            found[key] = found.get(key, names) & names
        for key in re.findall(rf'"((?:{families})\.[a-z_]+)"', code):
            found.setdefault(key, set(PLACE.findall(" ".join(load_words("en").get(key, {}).values()))))
    return found


def built() -> list[re.Pattern]:
    """What the keys look like that our scripts put together from parts, except the mistakes in a script."""
    templates = {text for code in sources().values() for text in re.findall(r"\bsay\(\s*`([^`]+)`", code)}
    templates -= {"script.${key}"}
    return [re.compile(re.sub(r"\\\$\\\{.*?\\\}", "[a-z_]+", re.escape(text))) for text in sorted(templates)]


def mistakes() -> set[str]:
    """The kinds of mistakes that the parser of core/language tells apart, and what it hints at."""
    names = ("script.py", "settings.py", "choices.py", "prompts.py", "hints.py")
    files = [ROOT / "core" / "language" / name for name in names]
    body = [node for file in files for node in ast.parse(file.read_text("utf-8")).body]
    tree = ast.Module(body, [])
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 4]
    keys = [
        node.args[2] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "ScriptError"
    ]
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("_STRUCTURE_REASONS", "_REASONS")
    ]
    keys += [key for table in tables if isinstance(table, ast.Dict) for key in table.keys if key]
    return {f"script.{key.value}" for key in keys if isinstance(key, ast.Constant)}


def test_no_language_is_unchecked():
    assert {file.stem for file in WORDS.iterdir()} == set(LANGUAGES)


def test_each_text_is_said_and_each_key_has_a_text():
    assert len(mistakes()) > 12
    known, named = load_words("en").keys(), said().keys() | mistakes()
    assert named - known == set()
    assert {key for key in known - named if not any(form.fullmatch(key) for form in built())} == set()
    assert [form for form in built() if not any(map(form.fullmatch, known))] == []


def test_callers_give_every_value():
    english = load_words("en")
    missing = {
        key: set(PLACE.findall(" ".join(english[key].values()))) - values for key, values in said().items()
    }
    assert {key: names for key, names in missing.items() if names} == {}


def test_no_text_is_left_in_the_code():
    left = {
        file.name: SENTENCE.findall(code) for file, code in sources().items() if file.name != "isi.js"
    }  # the settings and commands of isi.js are in locales/
    assert {name: texts for name, texts in left.items() if texts} == {}


@translated
def test_languages_have_the_same_keys_and_places(language):
    english, other = load_words("en"), load_words(language)
    assert list(english) == list(other), "missing, unused or in another order"
    for key, forms in english.items():
        places = sorted(set(PLACE.findall(" ".join(forms.values()))))
        for text in other[key].values():
            assert sorted(set(PLACE.findall(text))) == places, key


@translated
def test_everything_is_translated(language):
    own = LETTERS[language]
    left = [
        key
        for key, forms in load_words(language).items()
        for text in forms.values()
        if re.search(r"\w", PLACE.sub("", text)) and not own.search(text)
    ]
    assert left == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_plural_forms_are_those_of_the_language(language):
    for key, forms in load_words(language).items():
        assert set(forms) in FORMS[language], key
        if len(forms) > 1:
            assert all("{count}" in text for text in forms.values()), key
