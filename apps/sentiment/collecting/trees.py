"""A web page as a tree, and its visible text in blocks: what a reader sees as one line or paragraph, and where it stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

MOST_ELEMENTS = 100_000
MOST_BLOCKS = 20_000
MOST_HEADINGS = 50  # among which an article's headline is looked for
MOST_TABLES = 500  # whose first row may say what stands in the second
MOST_COLUMNS = 20
MOST_LEAVES = 2_000  # among which a headline that is no heading is looked for
INLINE = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd", "label",
    "mark", "q", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_NAMED_TIME = re.compile(r"(?:^|-)(?:date)?(?:time|ago|date|timeago|timestamp)(?:$|-)")  # <relative-time>, <time-ago>
_HIDDEN = {"script", "style", "noscript", "template", "svg", "iframe", "head", "select", "button", "textarea", "object"}
_AROUND = {"footer", "aside", "nav", "form"}
_AROUND_NAMES = re.compile(  # but category-weather is what systems call an article
    r"(?:^|[\s_-])(?<!category-)(?<!tag-)(?<!topic-)(?<!format-)(?:copyright|sidebar|side|nav|navbar|menu|breadcrumbs?|crumbs?|related\w*|recommend\w*|recirc\w*|hot|rank\w*|comments?|reviews|reply|replies"
    r"|latest|popular|trending|advert\w*|ads?|topbar|weather|calendar|pager|pagination|promo\w*|newsletter|readmore|morenews)(?:$|[\s_-])",
    re.I,
)
_OFTEN_AROUND = re.compile(r"(?:^|[\s_-])(?:footer|foot|bottom|aside|widget|share|banner|bio|tags?)(?:$|[\s_-])", re.I)
_OF_THE_ARTICLE = re.compile(
    r"(?:^|[\s_-])(?:meta|info|byline|dateline|date|time|pubtime|entry|post|article)(?:$|[\s_-])", re.I
)


# Words above what is of other articles, or of readers.
_OF_OTHERS = re.compile(
    r"(?:(?:related|recent|latest|other|similar|further|more|popular|trending|top|featured|recommended|suggested)"
    r"(?: posts?| articles?| news| stories| story| reading| links?| content| topics?| headlines| releases| coverage| reads?| for you)?"
    r"|(?:more|also|read more|latest|most read) (?:from|in|on|by|about) .{2,30}"
    r"|(?:most|read|see|also|what to) (?:read|popular|viewed|commented|shared|more|next|also|read next)"
    r"|you (?:may|might)(?: also)? (?:like|be interested in)|recommended for you|editor.?s.? picks?|don.t miss"
    r"|in case you missed it|elsewhere"
    r"|updates? to this (?:page|article|story|document|release)"
    r"|(?:full|page|document|version|revision|change|edit|update) history|change ?log"
    r"|(?:修订|修訂|更新|修改|变更|變更|版本|编辑|編輯|历史|歷史)(?:记录|記錄|紀錄|历史|歷史|日志|日誌|版本)"
    r"|(?:\d+ )?(?:comments?|responses?|replies)(?: \(\d+\))?|leave a (?:reply|comment)|(?:one|\d+) thoughts? on .{2,40}"
    r"|(?:[a-z]{3,12}s?['’]?s? )?reviews?(?: \(\d+\))?"
    r"|archives?|up next|next up|trending now"
    r"|(?:相关|相關|延伸|推荐|推薦|热门|熱門|最新|更多|精彩|往期|近期|其他|其它|今日|点击|點擊|阅读|閱讀|本周|一周|24小时)"
    r"(?:的)?(?:阅读|閱讀|新闻|新聞|报道|報道|報導|文章|推荐|推薦|链接|連結|鏈接|内容|內容|资讯|資訊|热点|熱點|消息|精选|精選|话题|話題|回顾|回顧|帖子|主题"
    r"|动态|動態|信息|评论|評論|公告|通知|排行榜?|排名|热榜|熱榜)"
    r"|猜你(?:喜欢|喜歡)|你可能(?:也|还|還)?(?:会|會)?(?:喜欢|喜歡|感兴趣|感興趣)|大家都在看|相关|相關|推荐|推薦"
    r"|(?:全部|网友|網友|最新|热门|熱門|精彩)?(?:评论|評論|留言|跟帖|回复|回應|回应)(?:[区區]|列表)?(?:\s?[(（]?\d+[条條)）]*)?)\s*[:：]?",
    re.I,
)  # fmt: skip
_MAY_HEAD = ("h2", "h3", "h4", "h5", "h6", "b", "strong", "dt", "p", "div", "span", "legend", "center")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_LISTED_NAMES = re.compile(
    r"(?:^|[\s_-])(?:secondary|rail|colophon|masthead|teasers?|more-(?:news|stories)|most-?read|also-?read|replies|respond|responses|disqus_thread|comment-?list|comment-?body|utility?-?bar)(?:$|[\s_-])",
    re.I,
)


@dataclass(frozen=True)
class Block:
    """A stretch of visible text: the names (class, id) of its elements, whether it belongs to what stands around an
    article, its place counted from the headline (0; before it negative), how much of it is links (0..1), whether it is of
    other articles or of readers (in a list with such a heading, or a link in a list with what stands beside it), and what
    the cell above it says of it."""

    text: str
    names: str
    around: bool
    place: int
    link_share: float
    of_others: bool = False
    label: str = ""


def parse(text: str) -> Any:
    """The tree of a page, an empty one for text that is none. libxml2 itself nests no deeper than 256."""
    from lxml import etree
    from lxml import html as lxml_html

    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        tree = lxml_html.document_fromstring(text.encode("utf-8", "replace") or b"<html></html>", parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError):
        tree = lxml_html.document_fromstring(b"<html><body></body></html>", parser=parser)
    return tree


def is_time_element(tag: str) -> bool:
    """Whether the name of an element says that it shows a time: <time>, <relative-time>, <local-time>."""
    return tag == "time" or ("-" in tag and bool(_NAMED_TIME.search(tag)))


def names_of(element: Any) -> str:
    """Class and id of an element in one string."""
    return "" if element is None else f"{element.get('class', '')} {element.get('id', '')}".strip()


def page_title(tree: Any) -> str:
    """The text of <title>."""
    return " ".join(" ".join(tree.xpath("string(//title)").split()).split())[:1_000]


def headline(tree: Any) -> Any:
    """The element that shows the article's title: an h1 that says something, else an h2 that the page's title begins
    with, else whatever shows how the title begins; None where there is none."""
    title = page_title(tree)
    first = zip(range(MOST_HEADINGS), tree.iter("h1", "h2"), strict=False)
    heads = [head for _, head in first if head.text_content().strip()]
    matching = [head for head in heads if title.startswith(" ".join(head.text_content().split())[:20])]
    found = next(iter([*matching, *(head for head in heads if head.tag == "h1")]), None)
    return found if found is not None else _shown_title(tree, title)


def _shown_title(tree: Any, title: str) -> Any:
    """The first leaf that shows the beginning of the page's title, outside menus: <b class="tit">."""
    leaves = zip(
        range(MOST_LEAVES), tree.iter("h3", "b", "strong", "div", "p", "td", "span", "font", "center"), strict=False
    )
    for _, leaf in leaves:
        text = " ".join((leaf.text or "").split())
        if len(text) >= 5 and len(leaf) == 0 and title.startswith(text) and not _in_menu(leaf):
            return leaf
    return None


def _in_menu(element: Any) -> bool:
    near = (element, element.getparent())
    return any(each is not None and _AROUND_NAMES.search(names_of(each)) for each in near)


def blocks(tree: Any) -> list[Block]:
    """The visible text in the order it stands, at most MOST_BLOCKS; in time linear in the page's size."""
    head = headline(tree)
    holders = {head, *head.iterancestors()} if head is not None else set()
    found: list[tuple[str, str, bool, float, bool, str]] = []
    at_head, labels = 0, _labels_above(tree)
    for element, text, names, around, links, of_others in _stretches(tree, holders, others(tree, holders)):
        if element is head or (head is not None and not at_head and head in element.iterancestors()):
            at_head = at_head or len(found) + 1
        found.append((text, names, around, links, of_others, labels.get(element, "") if labels else ""))
        if len(found) >= MOST_BLOCKS:
            break
    origin = at_head - 1 if at_head else -1
    return [
        Block(text, names, around, at - origin, links, of_others, label)
        for at, (text, names, around, links, of_others, label) in enumerate(found)
    ]


def _labels_above(tree: Any) -> dict[Any, str]:
    """What the first row of a table of two rows says of each cell of the second; one of more rows is a list."""
    found: dict[Any, str] = {}
    for _, table in zip(range(MOST_TABLES), tree.iter("table"), strict=False):
        rows = list(islice(table.iter("tr"), 3))
        if len(rows) == 2 and 2 <= len(rows[0]) == len(rows[1]) <= MOST_COLUMNS:
            labels = [_short_text(cell) for cell in rows[0]]
            if all(labels) and not any(char.isdigit() for label in labels for char in label):
                found.update(zip(rows[1], labels, strict=True))
    return found


def _stretches(tree: Any, holders: set[Any], strangers: set[Any]) -> Iterator[tuple[Any, str, str, bool, float, bool]]:
    """(block element, text, names of the elements in it, around the article?, share of links, of others?)."""
    from lxml import etree

    parts: list[str] = []
    names: list[str] = []
    linked = around = hidden = in_link = count = strange = items = 0
    owner = tree
    open_around: list[tuple[bool, bool]] = []  # of each open element: around the article, of others

    def flush() -> Iterator[tuple[Any, str, str, bool, float, bool]]:
        nonlocal linked
        text = " ".join("".join(parts).split())
        if text:
            share = min(1.0, linked / len(text))
            beside_link = items > 0 and linked >= 8 and share >= 0.4
            yield owner, text, " ".join(names)[:500], around > 0, share, strange > 0 or beside_link
        parts.clear()
        names.clear()
        linked = 0

    for event, element in etree.iterwalk(tree, events=("start", "end")):
        tag = element.tag
        if event == "start":
            count += 1
            if count > MOST_ELEMENTS:
                break
        step = 1 if event == "start" else -1
        if tag in _HIDDEN:
            hidden += step
        inline = tag in INLINE or ("-" in tag and is_time_element(tag))
        if not inline:
            yield from flush()
            owner = element if event == "start" else element.getparent()
        if event == "start":
            open_around.append((_is_around(element, holders), _is_of_others(element, holders, strangers)))
        is_around, is_strange = open_around[-1] if event == "start" else open_around.pop()
        around += step * is_around
        strange += step * is_strange
        in_link += step * (tag == "a")
        items += step * (tag == "li")
        if hidden == 0 and event == "start":
            names.append(names_of(element) if tag != "figcaption" else f"{names_of(element)} figcaption")
        if inline:
            parts.append(" ")
        given = element.text if event == "start" else element.tail
        if given and hidden == 0:
            parts.append(given)
            linked += len(given.strip()) if in_link else 0
    yield from flush()


def others(tree: Any, holders: set[Any]) -> set[Any]:
    """Elements that hold what is of other articles or of readers, as their headings say: what stands under "Related", and
    the box that begins with it."""
    found: set[Any] = set()
    for _, head in zip(range(MOST_ELEMENTS), tree.iter(*_MAY_HEAD), strict=False):
        if head in holders or not _OF_OTHERS.fullmatch(_short_text(head)):
            continue
        node, box = head, head.getparent()
        while box is not None and box not in holders and len(box) == 1 and not (box.text or "").strip():
            node, box = box, box.getparent()
        if box is None:
            continue
        begins = node.getprevious() is None and not (box.text or "").strip()
        if (
            begins
            and box not in holders
            and (holders or box.tag in ("td", "section"))
            and box.tag not in ("body", "main", "article")
        ):
            found.add(box)
        elif holders:
            found.update(_below(node, holders, found))
    return found


def _below(node: Any, holders: set[Any], found: set[Any]) -> Iterator[Any]:
    """What stands under a heading: up to the next one, or to running text."""
    for after in node.itersiblings():
        if after in holders or after in found or after.tag in _HEADINGS or len((after.text or "").strip()) > 60:
            return
        yield after


def _short_text(element: Any) -> str:
    """The text of an element that holds little, "" for others; looks at few of its parts."""
    if len(element) > 3 or len(element.text or "") > 60:
        return ""
    parts = []
    for _, part in zip(range(8), element.itertext(), strict=False):
        parts.append(part)
    text = " ".join("".join(parts).split())
    return text if len(text) <= 60 else ""


def own_elements(tree: Any) -> list[Any]:
    """Elements of the body that neither stand around the article nor are of others, at most MOST_ELEMENTS."""
    head = headline(tree)
    holders = {head, *head.iterancestors()} if head is not None else set()
    strangers = others(tree, holders)
    return [element for element, around in _walk(tree, holders, strangers) if not around]


def drop_around(tree: Any) -> None:
    """Take out of the tree what stands around its article."""
    head = headline(tree)
    holders = {head, *head.iterancestors()} if head is not None else set()
    for element in [element for element, around in _walk(tree, holders) if around and element.tag != "head"]:
        element.drop_tree()


def _walk(tree: Any, holders: set[Any], strangers: set[Any] | None = None) -> Iterator[tuple[Any, bool]]:
    """Elements and whether each stands around the article, is of others where those are named, or is the head; what is in
    such a one is passed over."""
    from lxml import etree

    walk = etree.iterwalk(tree, events=("start",))
    for _, (_, element) in zip(range(MOST_ELEMENTS), walk, strict=False):
        around = element.tag == "head" or _is_around(element, holders)
        around = around or (strangers is not None and _is_of_others(element, holders, strangers))
        if around:
            walk.skip_subtree()
        yield element, around


def _is_of_others(element: Any, holders: set[Any], strangers: set[Any]) -> bool:
    return element in strangers or (element not in holders and bool(_LISTED_NAMES.search(names_of(element))))


def _is_around(element: Any, holders: set[Any]) -> bool:
    if element in holders or element.tag in ("html", "body", "main", "article"):
        return False
    names = names_of(element)
    if _AROUND_NAMES.search(names):
        return True
    often = element.tag in _AROUND or bool(_OFTEN_AROUND.search(names))
    return often and not _OF_THE_ARTICLE.search(names)  # <footer class="entry-footer">, <aside class="post-meta">
