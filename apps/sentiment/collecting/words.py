"""Words that stand beside dates: which tell of a publication, of a change, of a paper's own day, of something else."""

import re

_UNIT = r"(?:时间|時間|日期|于|於|日)?"
CHANGED = re.compile(
    r"(?:更新|修改|修订|编辑|修訂|編輯|最后由.{1,20})" + _UNIT
    + r"|\b(?:last\s+)?(?:updated?|modified|revised|edited|corrected|changed|amended|reviewed|refreshed|rewritten|fact[- ]checked)\b", re.I,
)  # fmt: skip
CHANGED_AFTER = re.compile(
    r"\s*[(（]?(?:(?:更新|修改|编辑|修訂|編輯)(?!时间|時間|日期|于|於|[:：])|(?:updated|edited)(?!\s*[:o]))", re.I
)
PUBLISHING = (
    r"发布|發布|發佈|发表|發表|刊登|刊发|刊出|刊载|刊載|发稿|上传|上傳|上网|上網|上线|上架|出版|首发|首發|录入|添加|创建|建立|新闻|新聞|稿件|文章|信息"
    r"|消息|发文|发出|發出|公开|公開|公布|公告|张贴|張貼|挂网|发行|發行|發稿|登载|登載|发帖|發文|转载|轉載|见报|撰文|报道|報道|報導|播出"
)
PUBLISHED = re.compile(
    rf"{PUBLISHING}|日期|时间|時間"
    r"|\b(?:published|publish(?:ed)?\s+date|posted|first\s+published|publication"
    r"|released?|date[ds]?|filed|issued|uploaded|created|added|on)\b", re.I,
)  # fmt: skip
_STRONG = re.compile(rf"{PUBLISHING}|\b(?:published|posted)\b", re.I)
_EVENTS = (
    r"会议|會議|活动|活動|比赛|比賽|演出|考试|考試|报名|報名|开庭|開庭|开标|開標|投标|投標|截标|截稿|施行|实施|實施|生效|失效|废止|廢止|有效|到期|执行|举办|舉辦"
    r"|举行|舉行|召开|召開|开始|開始|结束|結束|开幕|開幕|上映|出生|成立|注册|註冊|入职|加入|登录|登錄|处罚决定|决定|申报|起始|终止|終止|受理|开放|開放|展览|展覽"
    r"|营业|營業|预约|發售|发售|交付|竣工|开工|回复|回覆|答复|打印|访问|下载|当前|現在|现在|阅读|閱讀|拍摄|开业|创立"
)
FOREIGN = re.compile(
    rf"©|\(c\)|copyright|版权|版權|备案|ICP|许可证|截至|截止|推荐文章|推薦文章|今天是|现在是|有效期|下一篇|上一篇|相关|相關|报名|(?:{_EVENTS})(?:时间|時間|日期|日|期|于|於)\s*[:：]?\s*$"
    r"|成立于|生于|逝世|诞生|最后(?:登录|访问)"
    r"|\bas of\b|\btoday(?:'s date)?\s*(?:is\b|[:,])|\b(?:born|died|joined|member since|registered|founded"
    r"|established|incorporated|expires?|expir(?:y|ation)"
    r"|deadline|event|starts?|ends?|begins?|due|next|previous|accessed|retrieved|closing|closes|effective|valid|meeting|hearing|birth|venue|doors"
    r"|commences?|in force|until|since|anniversary|applications?|tickets?|last (?:visited|seen|active|login))\b",
    re.I,
)  # fmt: skip
WRITTEN = re.compile(
    r"成文|签署|簽署|签发|簽發|印发|印發|落款|生成|制发|制定|编制|形成|撰写|\b(?:signed|made|adopted|written)\b", re.I
)
SENTENCE = re.compile(r"[。！？；]|(?:\b[a-z]{2,}\s+){6}|(?:\b[a-z]{2,}\s+){4}[a-z]{2,}[.!?]$")
OF_THIS = re.compile(
    r"(?:\bthis\s+(?:article|story|post|piece|page|release|report|column|interview|statement|item"
    r"|content|version|text|entry|work|blog)\b"
    r"|^\W{0,3}(?:first|originally|it was))\s.{0,60}\b(?:published|posted|appeared|released|issued)\b.{0,40}$"
    r"|(?:本文|此文|该文|本稿).{0,30}(?:刊|发|發|载|載|表).{0,20}$|^\W{0,3}(?:原载|原載|原刊"
    r"|首发|首發|刊载|刊登|刊於|刊于|载于|載於).{0,40}$", re.I,
)  # fmt: skip
TOLD = re.compile(  # what happened to something else on a day: “the suit was filed on”
    r"\b(?:was|were|been|being|be|had|has|have|will|would)\s+(?:\w+ly\s+)?\w+(?:\s+on)?\s*$", re.I
)
SIGNED_OFF = re.compile(  # how press releases end: Ends/Saturday, November 4, 2017
    r"^\W{0,3}(?:ends?\s?/|[-–—#*]{1,3}\s?ends?\s?[-–—#*]{1,3}|(?:全文)?完)[\s/)）*\-–—]*(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\W{0,3})?$",
    re.I,
)
PRINTED = re.compile(r"^\s*[)）]?\s*(?:第?\s*[A-Z]?\d{1,3}\s*版|[)）]\s*$|.{0,12}第\s*\d{1,3}\s*版)")
NAMES_OF_EVENTS = re.compile(
    r"(?:^|[\s_-])(?:event|event-?date|expir\w*|deadline|birth\w*|showtime|duration|today|weather|joined|reg-?date|start-?(?:date|time)"
    r"|end-?(?:date|time)|valid-?(?:from|until|to)|countdown)(?:$|[\s_-])",
    re.I,
)


def tells_change(before: str) -> bool:
    """Whether the words before a date speak of a change: the nearer word decides."""
    changes = list(CHANGED.finditer(before))
    return bool(changes) and not _STRONG.search(before, changes[-1].end())
