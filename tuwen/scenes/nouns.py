"""How each thing is counted: Chinese measure words, English articles and plurals, and synonyms that are safe to use."""

from __future__ import annotations

from functools import cache

from tuwen.scenes.pack import glyphs

CHINESE_NUMBERS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十")
ENGLISH_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# The measure word of a subgroup, and below it those of single things. What is in neither is counted with 个.
MEASURES_OF_SUBGROUPS = {
    "只": "animal-mammal animal-bird animal-amphibian animal-reptile animal-bug food-marine",
    "条": "animal-marine",
    "朵": "plant-flower",
    "棵": "plant-other",
    "份": "food-asian",
    "杯": "drink",
    "座": "place-geographic place-building place-religious",
    "辆": "transport-ground",
    "艘": "transport-water",
    "架": "transport-air",
    "件": "clothing",
    "把": "tool writing",
    "台": "computer",
    "本": "book-paper",
    "封": "mail",
}
MEASURES = {
    "个": (
        "猴头 狗脸 猫脸 老虎头 马头 奶牛头 猪头 猪鼻子 老鼠头 兔子头 爪印 龙头 海螺 蜘蛛网 细菌 "
        "圆形花饰 幼苗 空巢 有蛋的巢 米饼 饭团 烤红薯 月饼 团子 饺子 幸运饼干 外卖盒 奶瓶 茶壶 "
        "平底杯 带吸管杯 饮料盒 国家公园 体育馆 车站 公交车站 石油桶 油泵 车轮 警车灯 横向的红绿灯 "
        "纵向的红绿灯 停止标志 路障 锚 救生圈 降落伞 座位 飞碟 钱包 手提包 手袋 购物袋 书包 皇冠 "
        "军用头盔 白十字头盔 念珠 宝石 电源插头 键盘 电脑鼠标 轨迹球 算盘 报纸卷 书签 标签 发件箱 "
        "收件箱 包裹 有待收信件 无待收信件 有新信件 无新信件 邮筒 投票箱 钢笔尖 回旋镖 盾牌 "
        "螺母与螺栓 齿轮 夹钳 挂钩 工具箱"
    ),
    "匹": "狼 马 独角兽 斑马 骆驼 双峰骆驼",
    "头": "狮子 鹿 大野牛 公牛 水牛 奶牛 猪 野猪 长颈鹿 大象 猛犸 犀牛 河马 熊 喷水的鲸 鲸鱼 蒜",
    "根": (
        "羽毛 香蕉 胡萝卜 玉米 黄瓜 法式长棍面包 排骨 家禽的腿 热狗 棒棒糖 爆竹 钓鱼竿 魔棒 缝合针 蜡烛 盲杖 拐杖 香烟"
    ),
    "条": (
        "鳄鱼 蛇 龙 毛毛虫 蠕虫 红辣椒 培根 山区铁路 高速公路 铁轨 独木舟 缆车 索道 鲤鱼旗 "
        "提示丝带 领带 牛仔裤 围巾 连衣裙 纱丽 三角裤 短裤 影片帧 链条"
    ),
    "只": ("海豚 海豹 章鱼 服务铃 拳击手套 悠悠球 风筝 夹趾凉鞋 跑鞋 登山鞋 平底鞋 高跟鞋 女式凉鞋 女靴 铃铛 桶"),
    "株": "珊瑚 稻子 药草 三叶草 四叶草",
    "束": "花束",
    "盆": "盆栽植物",
    "片": "枫叶 落叶 云 雾 雪花 浪花 创可贴",
    "朵": "蘑菇 焰火 烟花",
    "串": "葡萄 蓝莓 樱桃 关东煮 风铃 钥匙和锁",
    "颗": "草莓 花生 栗子 糖 卫星 太阳 有环行星 星星 闪亮的星星 流星 彗星 骰子 炸弹 药丸",
    "棵": "绿叶蔬菜 西兰花 圣诞树 七夕树",
    "块": (
        "芝士 肉块 披萨 黄油 寿司 饼干 水果蛋糕 巧克力 冰块 砖 岩石 木头 滑板 奖牌 金牌 银牌 铜牌 拼图 皂 海绵 墓碑"
    ),
    "份": "薯条 奶酪火锅 刨冰 奶黄 文件 备忘录",
    "锅": "一锅食物",
    "碗": "绿色沙拉 米饭 面条",
    "桶": "爆米花",
    "瓶": "盐 蜂蜜 清酒",
    "盘": "咖喱饭 意粉",
    "双": "筷子 四轮滑冰鞋 滑冰 滑雪 手套 袜子 男鞋 芭蕾舞鞋",
    "套": ("餐具 刀叉 日本人形 练武服 套娃 和服 比基尼 女装 墨水笔和锁 锤子与镐 锤子与扳手 弓和箭 沙发和灯"),
    "把": (
        "豆 匙 菜刀 沙滩伞 收起的伞 伞 雨伞 阳伞 水枪 邮号 萨克斯管 吉他 小号 小提琴 班卓琴 直尺 "
        "三角尺 剪刀 合上的锁 打开的锁 钥匙 老式钥匙 椅子 剃须刀 扫帚 牙刷"
    ),
    "处": "沙漠 温泉",
    "间": "小屋 便利店",
    "栋": "房子 别墅 办公楼",
    "家": "日本邮局 邮局 医院 银行 酒店 情人酒店 商场 工厂",
    "所": "学校",
    "场": "婚礼 龙卷风 台风",
    "尊": "自由女神像 摩埃",
    "座": "喷泉 夜幕下的桥 摩天轮 过山车",
    "顶": "帐篷 女帽 礼帽 毕业帽 鸭舌帽",
    "幅": "夜晚 城市风光 山顶日出 日出 城市黄昏 日落 银河 带框的画 卷轴",
    "列": "蒸汽火车 高速列车 子弹头高速列车 火车 地铁 轻轨 单轨 空轨",
    "节": "轨道车 电池",
    "枚": "火箭 军功章 戒指 硬币 图钉 圆图钉 回形针 安全别针",
    "轮": ("朔月 娥眉月 上弦月 盈凸月 满月 亏凸月 下弦月 残月 弯月 微笑的朔月 微笑的上弦月 微笑的下弦月 微笑的月亮"),
    "道": "彩虹",
    "团": "火焰 毛线",
    "滴": "水滴 血滴",
    "盏": "南瓜灯 红灯笼 印度油灯",
    "张": (
        "红包 票 大小王 红中 花札 乐谱 电脑光盘 软盘 光盘 DVD 带卷边的页面 报纸 标签页 "
        "信用卡 收据 趋势向上且带有日元符号的图表 趋势向上的图表 趋势向下的图表 条形图 剪贴板 X射线 "
        "床 身份证"
    ),
    "副": "潜水面罩 眼镜 墨镜 护目镜 耳机 听诊器",
    "件": "运动背心",
    "台": "老虎机 收音机 传真机 电影放映机 电视机 相机 开闪光灯的相机 摄像机 显微镜 望远镜",
    "卷": "线 录像带 卷纸",
    "支": "唇膏 手电筒 铅笔 钢笔 笔 画笔 蜡笔 试管 注射器",
    "组": "入场券 多个音符 连起来的两个回形针",
    "架": "手风琴 天平 梯子",
    "面": "鼓 长鼓 镜子 标语牌",
    "部": "手机 带有箭头的手机 电话 寻呼机 电影摄影机 电梯",
    "叠": "日元 美元 欧元 英镑",
    "沓": "长翅膀的钱",
    "摞": "书",
    "排": "房屋建筑",
    "本": "日历 手撕日历 线圈本 线圈日历",
    "对": "交叉放置的剑",
    "段": "DNA",
    "扇": "门 窗户",
    "辆": "购物车",
    "口": "棺材",
}
# Names that need a noun after them when they are counted: 一个下雨符号, 一幅日落景象.
ENDINGS = {
    "符号": (
        "有雾 阴 雷阵雨 晴偶有云 多云 晴转雨 下雨 下雪 打雷 大风 高压 闪亮 禁止响铃 施工 露营 "
        "干杯 碰杯 倾倒液体 表演艺术 赏月 收邮件 航班起飞 航班降落 电池电量不足 理发店 链接 开香槟 "
        "风吹叶落"
    ),
    "景象": "夜晚 山顶日出 日出 城市黄昏 日落 银河",
    "鞋": "滑冰",
    "板": "滑雪",
    "喷头": "淋浴",
    "的花": "开花",
    "片": "X射线",
}
# English names without a plural of their own, by the unit that counts them.
UNITS = {
    "pair": (
        "glasses|sunglasses|goggles|jeans|briefs|shorts|scissors|socks|gloves|ballet shoes|skis|chopsticks|cherries|"
        "linked paperclips|crossed swords|clinking glasses|clinking beer mugs"
    ),
    "bunch": "grapes|blueberries|beans|peanuts",
    "set": (
        "paw prints|control knobs|Japanese dolls|nesting dolls|flower playing cards|woman's clothes|"
        "card index dividers|bookmark tabs|admission tickets|musical notes|chains"
    ),
    "stack": "pancakes|books",
    "row": "houses",
    "strip": "film frames|bacon",
    "box": "french fries|popcorn",
    "burst": "fireworks|sparkles",
    "cluster": "bubbles",
    "string": "prayer beads",
    "loaf": "bread|baguette bread",
    "piece": "flatbread|stuffed flatbread|sushi|candy|fried shrimp|wood|luggage|coral|meat on bone",
    "bowl": "cooked rice|green salad|ice cream",
    "plate": "curry rice|spaghetti",
    "serving": "oden|custard",
    "stick": "butter|dango",
    "shaker": "salt",
    "tin": "canned food",
    "head": "garlic|broccoli",
    "pot": "fondue",
    "cup": "shaved ice|bubble tea|mate",
    "cone": "soft ice cream",
    "block": "ice",
    "bottle": "sake",
    "glass": "pouring liquid",
    "ball": "yarn",
    "spool": "thread",
    "bar": "soap",
    "strand": "dna",
    "bank": "fog",
    "bundle": "money with wings",
    "group": "shopping bags",
    "view": "mount fuji",
}
# English names that need a noun after them.
NOUNS = {
    "scene": "foggy|camping|milky way",
    "barrier": "construction",
    "pan": "cooking",
    "sign": "high voltage|hot springs|performing arts",
    "site": "building construction",
    "padlock": "locked|unlocked",
    "set": "tennis|bowling|field hockey|ice hockey|lacrosse|ping pong|badminton",
}
BEFORE = {"padlock": "locked with pen|locked with key"}
# English pairs of things: one is "a bow and arrow", two are "two sets of bow and arrow".
COUPLES = (
    "fork and knife|fork and knife with plate|hammer and pick|hammer and wrench|nut and bolt|bow and arrow|"
    "couch and lamp"
)
IRREGULAR = {
    "wolf": "wolves", "deer": "deer", "bison": "bison", "mouse": "mice", "ox": "oxen", "fish": "fish",
    "blowfish": "blowfish", "leaf": "leaves", "knife": "knives", "tomato": "tomatoes", "potato": "potatoes",
    "mango": "mangoes", "cactus": "cacti", "volcano": "volcanoes", "tornado": "tornadoes", "mosquito": "mosquitoes",
    "buffalo": "buffalo", "die": "dice", "snowman": "snowmen", "scarf": "scarves", "moai": "moai", "shrimp": "shrimp",
    "squid": "squid", "sheaf": "sheaves", "loaf": "loaves",
}  # fmt: skip
AN = {"herb", "x-ray"}
A = {"ewe", "unicorn", "euro", "one-piece", "uniform", "ukulele"}
TAILS = frozenset(
    [
        "of",
        "with",
        "without",
        "in",
        "on",
        "over",
        "behind",
        "at",
        "tilted",
        "facing",
        "fluttering",
        "increasing",
        "decreasing",
        "low",
        "medium",
        "high",
    ]
)

# Synonyms a person would use, each a keyword of one thing only (the tests hold them to that).
CHINESE_SYNONYMS = {
    "贵宾犬": "卷毛狗", "老虎": "虎", "豹子": "豹", "大象": "象", "松鼠": "花栗鼠", "鸽": "鸽子", "鹰": "老鹰",
    "鸭子": "鸭", "龟": "乌龟", "鲨鱼": "鲨", "章鱼": "八爪", "毛毛虫": "毛虫", "蟋蟀": "蛐蛐", "蜘蛛网": "蛛网",
    "芙蓉": "木槿", "向日葵": "太阳花", "松树": "常青树", "药草": "草药", "甜瓜": "香瓜", "橘子": "桔子",
    "猕猴桃": "奇异果", "西红柿": "番茄", "鳄梨": "牛油果", "土豆": "马铃薯", "玉米": "苞米", "蒜": "大蒜",
    "羊角面包": "新月形面包", "烙饼": "煎饼", "华夫饼": "格子饼", "芝士": "起司", "家禽的腿": "鸡腿", "汉堡": "汉堡包",
    "罐头食品": "罐头", "盒饭": "便当", "面条": "拉面", "意粉": "意面", "烤红薯": "烤地瓜", "天妇罗": "炸虾",
    "饺子": "水饺", "蟹": "螃蟹", "乌贼": "鱿鱼", "牡蛎": "生蚝", "刨冰": "冰沙", "冰淇淋": "冰激凌", "饼干": "曲奇",
    "糖": "糖果", "热饮": "咖啡", "匙": "汤匙", "岩石": "石头", "木头": "原木", "酒店": "旅馆", "办公楼": "写字楼",
    "城市风光": "都市景观", "日落": "夕阳", "消防车": "救火车", "赛车": "跑车", "自行车": "单车", "客轮": "客船",
    "渡轮": "渡船", "直升机": "直升飞机", "飞碟": "不明飞行物", "有环行星": "土星", "星星": "五角星", "打雷": "雷",
    "火焰": "火", "浪花": "波浪", "烟花": "烟火", "礼物": "礼品", "军功章": "勋章", "钓鱼竿": "鱼杆", "红桃": "红心",
    "方片": "方块", "调色盘": "调色板", "毛线": "毛线球", "墨镜": "太阳镜", "外套": "夹克", "手提包": "挎包",
    "跑鞋": "运动鞋", "女靴": "靴子", "皇冠": "王冠", "礼帽": "高帽", "鸭舌帽": "棒球帽", "唇膏": "口红",
    "戒指": "钻戒", "宝石": "钻石", "音乐键盘": "钢琴", "手机": "手提电话", "传真机": "传真", "电源插头": "插头",
    "笔记本电脑": "手提电脑", "光盘": "专辑", "电视机": "电视", "相机": "照相机", "录像带": "录影带", "灯泡": "电灯泡",
    "手电筒": "手电", "书": "书籍", "卷轴": "画卷", "标签": "吊牌", "信用卡": "银行卡", "邮筒": "邮箱", "笔": "圆珠笔",
    "画笔": "毛笔", "公文包": "公事包", "条形图": "柱形图", "剪贴板": "写字板", "直尺": "尺子", "剪刀": "剪子",
    "铁镐": "锄头", "匕首": "短刀", "盾牌": "盾", "链条": "铁链", "注射器": "针筒", "药丸": "药", "拐杖": "手杖",
    "电梯": "升降机", "安全别针": "别针", "卷纸": "卫生纸", "桶": "水桶", "购物车": "手推车", "香烟": "烟",
    "轨迹球": "追踪球", "螺母与螺栓": "螺栓",
}  # fmt: skip
ENGLISH_SYNONYMS = {
    "orangutan": "ape", "hippopotamus": "hippo", "chipmunk": "squirrel", "turtle": "tortoise", "honeybee": "bee",
    "lady beetle": "ladybug", "cricket": "grasshopper", "spider web": "web", "worm": "earthworm",
    "mushroom": "toadstool", "kiwi fruit": "kiwi", "eggplant": "aubergine", "ear of corn": "corn",
    "leafy green": "cabbage", "hamburger": "burger", "burrito": "wrap", "doughnut": "donut", "cut of meat": "steak",
    "rice cracker": "cracker", "tumbler glass": "tumbler", "rock": "stone", "wood": "log", "hut": "yurt",
    "metro": "subway", "bicycle": "bike", "articulated lorry": "lorry", "pickup truck": "pickup",
    "motorway": "highway", "sailboat": "yacht", "motor boat": "motorboat", "ring buoy": "life preserver",
    "flying saucer": "UFO", "cyclone": "hurricane", "wrapped gift": "present", "trophy": "prize", "sled": "sleigh",
    "bullseye": "target", "water pistol": "gun", "puzzle piece": "jigsaw", "framed picture": "picture",
    "artist palette": "palette", "coat": "jacket", "backpack": "rucksack", "running shoe": "sneaker",
    "billed cap": "baseball cap", "gem stone": "gem", "musical keyboard": "piano", "saxophone": "sax",
    "headphone": "earbud", "light bulb": "bulb", "flashlight": "torch", "film projector": "projector",
    "package": "parcel", "axe": "hatchet", "gear": "cog", "elevator": "lift", "bucket": "pail",
    "headstone": "tombstone", "bathtub": "bath", "carpentry saw": "saw", "teacup without handle": "teacup",
    "cocktail glass": "cocktail", "hot beverage": "coffee", "honey pot": "honeypot", "ringed planet": "saturn",
    "water wave": "wave", "adhesive bandage": "bandage", "shopping cart": "cart", "funeral urn": "urn",
    "wheel": "tire", "poultry leg": "drumstick", "dumpling": "potsticker", "woman's sandal": "sandal",
}  # fmt: skip


@cache
def measure_word(glyph: int) -> str:
    """The Chinese measure word of a thing."""
    return _measures()[glyph]


@cache
def _measures() -> tuple[str, ...]:
    own = {name: word for word, names in MEASURES.items() for name in names.split()}
    shared = {name: word for word, names in MEASURES_OF_SUBGROUPS.items() for name in names.split()}
    shared["symbol"] = "个"
    symbols = set(ENDINGS["符号"].split())
    return tuple(
        # 一杯奶 brings its measure word along.
        glyph.zh[1]
        if glyph.zh.startswith("一")
        else own.get(glyph.zh, shared.get("symbol" if glyph.zh in symbols else glyph.subgroup, "个"))
        for glyph in glyphs()
    )


@cache
def _endings() -> dict[str, str]:
    return {name: ending for ending, names in ENDINGS.items() for name in names.split()}


@cache
def chinese(glyph: int, count: int, synonym: bool = False) -> str:
    """一只狗, 两个苹果."""
    return CHINESE_NUMBERS[count] + measure_word(glyph) + chinese_counted(glyph, synonym)


@cache
def chinese_counted(glyph: int, synonym: bool = False) -> str:
    """What follows the measure word."""
    name = glyphs()[glyph].zh
    if synonym and name in CHINESE_SYNONYMS:
        return CHINESE_SYNONYMS[name]
    return name[2:] if name.startswith("一") else name + _endings().get(name, "")


@cache
def english(glyph: int, count: int, synonym: bool = False) -> str:
    """a dog, two apples, three pairs of jeans."""
    one, many = english_forms(glyph, synonym)
    return f"{article(one)} {one}" if count == 1 else f"{ENGLISH_NUMBERS[count]} {many}"


@cache
def english_forms(glyph: int, synonym: bool = False) -> tuple[str, str]:
    """What follows "a" and what follows "two"."""
    name = glyphs()[glyph].en
    if synonym and ENGLISH_SYNONYMS.get(name):
        return _regular(ENGLISH_SYNONYMS[name])
    return _special().get(name) or _regular(name)


@cache
def _special() -> dict[str, tuple[str, str]]:
    forms = {
        name: (f"{unit} of {name}", f"{plural(unit)} of {name}")
        for unit, names in UNITS.items()
        for name in names.split("|")
    }
    forms |= {
        name: (f"{name} {noun}", f"{name} {plural(noun)}") for noun, names in NOUNS.items() for name in names.split("|")
    }
    forms |= {
        name: (f"{noun} {name}", f"{plural(noun)} {name}")
        for noun, names in BEFORE.items()
        for name in names.split("|")
    }
    return forms | {name: (name, f"sets of {name}") for name in COUPLES.split("|")}


def _regular(name: str) -> tuple[str, str]:
    """The plural goes to the last word before "of", "with" and their like."""
    words = name.split(" ")
    head = next((place for place, word in enumerate(words) if word in TAILS and place > 0), len(words)) - 1
    return name, " ".join([*words[:head], plural(words[head]), *words[head + 1 :]])


def plural(word: str) -> str:
    """The plural of one English word."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def article(phrase: str) -> str:
    """ "a" or "an", by the sound the phrase begins with."""
    first = phrase.split(" ")[0]
    if first in AN:
        return "an"
    return "an" if first[0].lower() in "aeiou" and first not in A else "a"
