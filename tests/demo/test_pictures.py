import pytest

from chatapp.demo.pictures import compare_picture, picture_rows
from tests.demo.scripted_stage import play


def run_of_text(column, row, text, style="r1"):
    shown = text.replace(" ", "&#160;")
    clip = f"url(#terminal-42-line-{row})"
    return (
        f'<text class="terminal-42-{style}" x="{column * 12.2:g}" y="{row * 24.4 + 20:g}" '
        f'textLength="{len(text) * 12.2:g}" clip-path="{clip}">{shown}</text>'
    )


def picture(*texts):
    title = '<text class="terminal-42-title" fill="#c5c8c6" text-anchor="middle" x="618" y="27">chatapp</text>'
    return "<svg>" + title + "".join(texts) + "</svg>"


def test_rows_keep_their_columns_and_leave_the_title_out():
    svg = picture(run_of_text(0, 0, "one"), run_of_text(6, 0, "a &lt; b"), run_of_text(3, 2, " three"))
    assert picture_rows(svg) == ["one   a < b", "", "    three"]
    assert picture_rows(picture()) == []


@pytest.mark.parametrize("kind", ["svg", "txt"])
def test_a_picture_is_kept_compared_and_said_to_differ(tmp_path, kind):
    golden = tmp_path / "golden" / f"a.{kind}"
    svg = picture(run_of_text(0, 0, "speed"), run_of_text(0, 3, "835 tok/s"))
    assert "is missing; make it: chatapp demo check NAME --update" in compare_picture(svg, golden, update=False)
    assert compare_picture(svg, golden, update=True) == ""
    assert compare_picture(svg, golden, update=False) == ""
    assert compare_picture(svg.replace("terminal-42", "terminal-7"), golden, update=False) == ""

    problem = compare_picture(svg.replace("835", "836"), golden, update=False)
    assert f"does not look like {golden}: row 4 reads '836 tok/s', not '835 tok/s'" in problem
    assert "a.new." in problem
    assert "836" in (tmp_path / "golden" / f"a.new.{kind}").read_text()


def test_only_a_picture_sees_colours(tmp_path):
    words, looks = tmp_path / "a.txt", tmp_path / "a.svg"
    svg = picture(run_of_text(0, 0, "speed"))
    for golden in (words, looks):
        compare_picture(svg, golden, update=True)
    other = svg.replace("-r1", "-r2")
    assert compare_picture(other, words, update=False) == ""
    assert "the words are the same, the colours are not" in compare_picture(other, looks, update=False)


def test_rows_that_came_or_went_are_differences(tmp_path):
    golden = tmp_path / "a.txt"
    golden.write_text("one\n")
    two = picture(run_of_text(0, 0, "one"), run_of_text(0, 1, "two"))
    assert "row 2 reads 'two', not ''" in compare_picture(two, golden, update=False)


def test_folders_and_bytes_instead_of_a_picture(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    assert "cannot be read: Is a directory" in compare_picture("", tmp_path / "folder.txt", update=False)
    assert "cannot be written: Is a directory" in compare_picture("", tmp_path / "folder.txt", update=True)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    assert "is not text; make it anew" in compare_picture("", tmp_path / "bytes.txt", update=False)


def test_a_new_picture_that_cannot_be_kept_is_no_trouble(tmp_path):
    golden = tmp_path / "a.txt"
    golden.write_text("one\n")
    (tmp_path / "a.new.txt").mkdir()
    problem = compare_picture(picture(run_of_text(0, 0, "two")), golden, update=False)
    assert problem.endswith("not 'one'; where that is right, --update keeps it")


# ---------------------------------------------------------------- in a script


async def test_pictures_are_compared_written_and_said_to_be_missing(tmp_path):
    path = tmp_path / "demo.yaml"
    step = "screen: {golden: golden/a.svg}"
    report, _, _ = await play([step], path=path)
    assert "a.svg: the golden picture is missing; make it: chatapp demo check" in report.misses[0].message
    report, _, _ = await play([step], path=path, update=True)
    assert report.misses == []
    assert report.written == [tmp_path / "golden" / "a.svg"]

    def renumbered(stage, _speaker):
        stage.svg = "<svg>terminal-999</svg>"

    report, _, _ = await play([step], path=path, prepare=renumbered)
    assert report.misses == []

    def changed(stage, _speaker):
        stage.svg = "<svg>other</svg>"

    report, _, _ = await play([step], path=path, prepare=changed)
    assert "does not look like" in report.misses[0].message
    assert (tmp_path / "golden" / "a.new.svg").read_text() == "<svg>other</svg>"
    report, _, _ = await play([step], path=path, prepare=changed, goldens=False)
    assert report.misses == []


async def test_a_picture_waits_for_a_screen_that_still_paints(tmp_path):
    path = tmp_path / "demo.yaml"
    kept = tmp_path / "a.txt"
    kept.write_text("7\n")
    looks = []

    def painting(stage, _speaker):
        def picture():
            looks.append(min(len(looks), 7))
            return f'<text x="0" textLength="12.2" clip-path="url(#t-line-0)">{looks[-1]}</text>'

        stage.picture = picture

    report, _, _ = await play(["screen: {golden: a.txt}"], path=path, prepare=painting)
    assert report.misses == []
    assert len(looks) == 9
