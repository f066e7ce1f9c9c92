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
FOREIGN_AFTER = re.compile(  # 2024-06-18 开幕; 5 June 2024, 19:00 – 21:30; 2024-06-05 至今
    r"\s*[)）]?\s*(?:将|正式|起)?(?:开幕|開幕|举行|舉行|召开|召開|举办|舉辦|施行|实施|實施|生效|截止|到期|上映|开标|开庭|至今|以来|以來|起(?:[\s，。,;；]|$))"
    r"|\s*[·|]\s*(?:USD|EUR|GBP|CNY|HKD|JPY|Delayed|Market)\b"
    r"|\s*(?:[-–—~至到]|to|until)\s*\d{1,2}(?:[:.]\d\d|\s?[ap]\.?m\b|\s?[月日])|\s*(?:[—~至到]|to|until)\s*(?:19|20)\d\d[-/.年]",
    re.I,
)
SPAN_AFTER = re.compile(r"\s*(?:[-–—~至到]|to)\s*$")  # 2024-06-05 ~ 2024-06-12
AND = re.compile(r"\s*(?:,?\s*and|[,&、和及与與])\s*$")  # Exam dates: 5 June and 7 June
SPAN_BEFORE = re.compile(r"(?<![\d:.-])\d{1,2}\s*(?:[-–—~至到]|to)\s*$")  # 5–8 June 2024
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
    r"|登记|登記|除权|除權|除息|派息|付息|兑付|起息"
    r"|访谈|訪談|净值|淨值|统计|統計|行情|报价|報價|开奖|開獎|录制|錄製|面试|面試|培训|培訓|出发|出發|入住|收盘|收盤"
    r"|生产|生產|预约披露|交割|申购|申購|缴款|解禁|行权|上市|摘牌|停牌|复牌|復牌"
    r"|营业|營業|预约|發售|发售|交付|竣工|开工|回复|回覆|答复|打印|访问|下载|当前|現在|现在|阅读|閱讀|拍摄|开业|创立"
)
FOREIGN = re.compile(
    rf"©|\(c\)|copyright|版权|版權|备案|ICP|许可证|截至|截止|推荐文章|推薦文章|今天是|现在是|有效期|下一篇|上一篇|相关|相關|报名|(?:{_EVENTS})(?:时间|時間|日期|日|期|于|於)\s*[:：]?\s*$"
    r"|(?:成立|运行|運行|运营|创刊|創刊|创办|創辦|始建|始)[于於]|生于"
    r"|(?:\b(?:build|isbn|issn|sku|final|score)|编号|編號|文号|案号|批号|比分|报告期|報告期)\W{0,3}[\d-]{0,13}$"
    r"|(?:最新价|现价|收盘价?|净值|\b(?:last|close|price))\W{0,3}[$£€¥]?\d[\d.,]*\W*$|逝世|诞生|最后(?:登录|访问)"
    r"|(?:quarter|year|month|week|period|half)s?,?\s+end(?:ed|ing)\b"
    r"|\b(?:call|conference|webcast|argued|exams?|check-?(?:in|out)|kick-?off|depart\w*|open(?:s|ing)|premieres?|screening|auction"
    r"|election|course|draw|funeral|at close"
    r"|deliver(?:y|ed|s)|dispatch(?:ed)?|arriv(?:es?|als?|ing)|ships?|order)(?:\s+(?:dates?|times?|days?|on|at|is|by|within))*"
    r"\s*[:：,]?\s*(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day\W{0,3})?$"
    r"|\bas of\b|\b(?:after|before|between|by)\s+(?:[a-z]{3,6}day,?\s+)?$"
    r"|\btoday(?:['’]s (?:date|paper|edition))?\s*(?:is\b|[:,])"
    r"|\b(?:born|died|joined|member since|registered|founded|established|incorporated|expires?|expir(?:y|ation)"
    r"|deadline|event|starts?|ends?|begins?|due|next|previous|accessed|retrieved|closing|closes|effective|valid|birth|venue|doors"
    r"|meeting|hearing"
    r"|commences?|in force|until|since|anniversary|applications?|tickets?|last (?:visited|seen|active|login))\b",
    re.I,
)  # fmt: skip


def publishes(before: str) -> bool:
    """Whether the words before a date speak of a publication, not merely of a time or of something that was made."""
    return bool(_STRONG.search(before)) and not MADE.search(before)


MADE = re.compile(
    r"(?:添加|创建|建立|录入|创作)(?:时间|日期|于)?\W*$|\b(?:created|added|uploaded)\W*(?:on|at|date)?\W*$", re.I
)
WRITTEN = re.compile(
    r"成文|签署|簽署|签发|簽發|印发|印發|落款|生成|制发|制定|编制|形成|撰写|\b(?:signed|made|adopted|written)\b", re.I
)
SENTENCE = re.compile(r"[。！？；]|(?:\b[a-z]+\s+){6}|(?:\b[a-z]{2,}\s+){4}[a-z]{2,}[.!?]$")
OF_THIS = re.compile(
    r"(?:\bthis\s+(?:article|story|post|piece|page|release|report|column|interview|statement|item"
    r"|content|version|text|entry|work|blog)\b"
    r"|^\W{0,3}(?:first|originally|it was))\s.{0,60}\b(?:published|posted|appeared|released|issued)\b.{0,40}$"
    r"|(?:本文|此文|该文|本稿).{0,30}(?:刊|发|發|载|載|表).{0,20}$|^\W{0,3}(?:原载|原載|原刊"
    r"|首发|首發|刊载|刊登|刊於|刊于|载于|載於).{0,40}$", re.I,
)  # fmt: skip
ONLY_ON = re.compile(r"(?:^|[.;,]\s)\s*on\s*$", re.I)  # which also begins "On 3 March the first shop opened"
NAMES_THIS = re.compile(
    r"\W{0,3}(?:this\s+(?:article|story|post|piece|report|column)\s.{0,40}\b(?:published|posted|appeared)\b|本文.{0,12}(?:发布|發布|發佈|发表|發表|刊登|刊发|首发))",
    re.I,
)
TOLD = re.compile(  # what happened to something else on a day: “the suit was filed on”
    r"\b(?:was|were|been|being|be|had|has|have|will|would)\s+(?:\w+ly\s+)?\w+(?:\s+on)?\s*$", re.I
)
SIGNED_OFF = re.compile(  # how press releases end: Ends/Saturday, November 4, 2017
    r"^\W{0,3}(?:ends?\s?/|[-–—#*]{1,3}\s?ends?\s?[-–—#*]{1,3}|(?:全文)?完)[\s/)）*\-–—]*(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\W{0,3})?$",
    re.I,
)
PRINTED = re.compile(r"^\s*[)）]?\s*(?:第?\s*[A-Z]?\d{1,3}\s*版|[)）]\s*$|.{0,12}第\s*\d{1,3}\s*版)")
NAMES_OF_EVENTS = re.compile(  # but category-weather and format-quote are what systems call an article
    r"(?:^|[\s_-])(?<!category-)(?<!tag-)(?<!topic-)(?<!format-)(?:event|event-?date|expir\w*|deadline|birth\w*|showtime|duration|today|weather|joined|reg-?date|start-?(?:date|time)"
    r"|server-?time|current-?(?:date|time)|(?:fig|image|photo|img|wp)?-?caption(?:-text)?|photo-?credit"
    r"|price|quote|quotes|ticker"  # the clock of an exchange
    r"|end-?(?:date|time)|valid-?(?:from|until|to)|countdown)(?:$|[\s_-])",
    re.I,
)


def tells_change(before: str) -> bool:
    """Whether the words before a date speak of a change: the nearer word decides."""
    changes = list(CHANGED.finditer(before))
    return bool(changes) and not _STRONG.search(before, changes[-1].end())
