"""Files as a disk or a hand may damage them."""


def damaged(content, chance):
    """Cut a file, flip a bit, or replace, insert or repeat some of its bytes."""
    content = bytearray(content)
    at, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    match chance.randrange(6):
        case 0:
            return content[:at]
        case 1:
            for _ in range(chance.randint(1, 4)):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        case 2:
            content[chance.randrange(len(content))] = chance.choice(b'0919eE-"[]{},:.\\tnu\0\xff')
        case 3:
            content[at:at] = chance.choice(
                [b"9" * 400, b"[" * 100_000, b"-", b'"', b"null", b"1e999"]
            )
        case 4:
            content[at:end] = b""
        case 5:
            content[at:at] = content[at:end]
    return content
