# The guest of the tests and of the demo: a whole machine in 64 KiB of firmware.
#
# Ten times a second it writes record n to its disk, then the counter, flushes the disk's cache, and
# only then says so on the serial port. Whoever reads `tick n` may therefore demand record n from
# the disk for ever: that is how a lost write is seen. Each record carries the nonce of the boot
# that wrote it: that is how a write of two guests at once is seen.
#
# Built by build.sh (as, ld). Runs on `-M pc -m 2 -bios guest.rom` with an IDE disk on ide.0.
#
# The disk, in sectors of 512 bytes; all numbers little-endian:
#
#   sector 0          the counter: the newest record, written after that record
#   sector 1 ...      a ring of `capacity` records: n (from 1) is in sector 1 + (n - 1) mod capacity
#
# Both kinds of sector look alike:
#
#   0   8 bytes   "QRECORD1" or "QCOUNTR1"
#   8   u32       n: the number of the record
#   12  u32       beat: how many records this boot has written, this one counted
#   16  u64       nonce of this boot: a saved and resumed guest keeps it, a booted one draws another
#   24  u32       capacity: the sectors of the disk, less one
#   28            zeros
#   508 u32       CRC-32 (as in zlib) of the 508 bytes before it
#
# The serial port (115200 8N1), one line for each; n in decimal, nonce in 16 hex digits:
#
#   boot NONCE N              booted; the counter on the disk says N (0: the disk is blank)
#   tick N NONCE              record N is written and flushed; these lines are the guest's heartbeat
#   ioerr N NONCE STATUS ERR  the disk refused a command of record N (ATA status and error, hex).
#                             It is tried again at the next beat, for ever: a guest that gave up
#                             would hide a fence that does not hold.
#   nodisk                    no disk answers; it halts
#   corrupt                   sector 0 is neither blank nor ours; it halts and writes nothing

        .intel_syntax noprefix
        .code16
        .text

        .equ    COM1,     0x3f8
        .equ    ATA,      0x1f0
        .equ    TICKS_HZ, 100
        .equ    BEAT,     10                    # in ticks: ten beats a second

        # Variables and buffers, in segment 0; the words that this boot must not lose first.
        .equ    ticks,    0x500                 # timer interrupts since the start
        .equ    due,      0x504                 # the tick at which the next beat is due
        .equ    last,     0x508                 # the newest record that is written
        .equ    beat,     0x50c
        .equ    nonce,    0x510
        .equ    capacity, 0x518
        .equ    sector,   0x600
        .equ    stack,    0x7c00

start:
        cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, offset stack
        call    serial_setup
        call    timer_setup
        call    draw_nonce
        call    disk_setup
        jc      no_disk
        call    read_counter
        jc      corrupt

        mov     si, offset text_boot
        call    print
        call    print_nonce
        call    print_space
        mov     eax, [last]
        call    print_decimal
        call    print_newline
        mov     eax, [ticks]
        mov     [due], eax                      # the first beat is due at once

main:
        cli
        mov     eax, [ticks]
        sub     eax, [due]
        jns     1f
        sti
        hlt                                     # sti takes effect after hlt: no tick is missed
        jmp     main
1:      sti
        add     dword ptr [due], BEAT
        cmp     eax, BEAT
        jb      2f
        mov     eax, [ticks]                    # late by a beat or more: miss them, do not hurry
        add     eax, BEAT
        mov     [due], eax
2:      call    one_beat
        jmp     main

# Writes record last + 1 and the counter, flushes, says so.
one_beat:
        inc     dword ptr [beat]
        mov     si, offset magic_record
        call    build_sector
        mov     eax, [last]                     # record last + 1 is in sector 1 + last mod capacity
        xor     edx, edx
        div     dword ptr [capacity]
        lea     eax, [edx + 1]
        call    disk_write
        jc      3f
        mov     si, offset magic_counter
        call    build_sector
        xor     eax, eax
        call    disk_write
        jc      3f
        call    disk_flush
        jc      3f
        inc     dword ptr [last]
        mov     si, offset text_tick
        call    print
        mov     eax, [last]
        call    print_decimal
        call    print_space
        call    print_nonce
        jmp     print_newline
3:      dec     dword ptr [beat]
        mov     si, offset text_ioerr
        call    print
        mov     eax, [last]
        inc     eax
        call    print_decimal
        call    print_space
        call    print_nonce
        call    print_space
        mov     dx, ATA + 7
        in      al, dx
        call    print_byte
        call    print_space
        mov     dx, ATA + 1
        in      al, dx
        call    print_byte
        jmp     print_newline

no_disk:
        mov     si, offset text_no_disk
        jmp     4f
corrupt:
        mov     si, offset text_corrupt
4:      call    print
        call    print_newline
5:      cli
        hlt
        jmp     5b

# ---- the two kinds of sector ---------------------------------------------------------------------

# Builds the sector of record last + 1; cs:si is its magic.
build_sector:
        mov     di, offset sector
        mov     cx, 8
1:      mov     al, cs:[si]
        inc     si
        stosb
        loop    1b
        mov     eax, [last]
        inc     eax
        stosd
        mov     eax, [beat]
        stosd
        mov     eax, [nonce]
        stosd
        mov     eax, [nonce + 4]
        stosd
        mov     eax, [capacity]
        stosd
        xor     eax, eax
        mov     cx, 120                         # 28 + 480 = 508
        rep     stosd
        call    sector_crc
        mov     [sector + 508], eax
        ret

# eax = CRC-32 of the first 508 bytes of the sector.
sector_crc:
        mov     si, offset sector
        mov     cx, 508
        mov     eax, 0xffffffff
1:      xor     al, [si]
        inc     si
        mov     bl, 8
2:      shr     eax, 1
        jnc     3f
        xor     eax, 0xedb88320
3:      dec     bl
        jnz     2b
        loop    1b
        not     eax
        ret

# Reads sector 0 into `last`; carry: it is neither blank nor a counter of ours.
read_counter:
        mov     dword ptr [last], 0
        mov     dword ptr [beat], 0
        xor     eax, eax
        call    disk_read
        jc      9f
        mov     di, offset sector
        mov     cx, 128
        xor     eax, eax
        repe    scasd
        je      8f                              # all zeros: a blank disk
        mov     di, offset sector
        mov     si, offset magic_counter
        mov     cx, 8
1:      mov     al, cs:[si]
        inc     si
        scasb
        jne     9f
        loop    1b
        call    sector_crc
        cmp     eax, [sector + 508]
        jne     9f
        mov     eax, [sector + 8]
        mov     [last], eax
8:      clc
        ret
9:      stc
        ret

# ---- the nonce: 64 bits from the jitter of the clock and the time of day -------------------------

draw_nonce:
        mov     esi, 0x811c9dc5
        mov     edi, 0x9e3779b9
        mov     cx, 256
1:      in      al, 0x40                        # leaving the guest costs a varying time
        movzx   ebx, al
        rdtsc
        call    mix
        loop    1b
        mov     cx, 10                          # the real-time clock: seconds ... year
2:      mov     al, cl
        dec     al
        out     0x70, al
        in      al, 0x71
        movzx   ebx, al
        rdtsc
        call    mix
        loop    2b
        mov     [nonce], esi
        mov     [nonce + 4], edi
        ret

# Mixes eax and ebx into esi and edi.
mix:
        xor     esi, eax
        imul    esi, esi, 0x01000193
        add     edi, ebx
        xor     edi, esi
        rol     edi, 13
        imul    edi, edi, 0x85ebca6b
        mov     ebp, edi
        shr     ebp, 15
        xor     esi, ebp
        ret

# ---- timer: the PIT at 100 Hz on interrupt 0x20 --------------------------------------------------

timer_setup:
        mov     dword ptr [ticks], 0
        mov     word ptr [0x20 * 4], offset on_timer
        mov     word ptr [0x20 * 4 + 2], cs
        mov     eax, 1
        cpuid
        bt      edx, 9
        jnc     1f
        call    pass_through_apic
1:      mov     al, 0x11
        out     0x20, al
        mov     al, 0x20
        out     0x21, al
        mov     al, 0x04
        out     0x21, al
        mov     al, 0x01
        out     0x21, al
        mov     al, 0xfe                        # interrupt 0 alone
        out     0x21, al
        mov     al, 0xff
        out     0xa1, al
        mov     al, 0x34
        out     0x43, al
        mov     al, (1193182 / TICKS_HZ) & 0xff
        out     0x40, al
        mov     al, (1193182 / TICKS_HZ) >> 8
        out     0x40, al
        ret

# Lets the PIC's interrupts through the local APIC, as every firmware must. Its registers lie far
# above the first megabyte: they are written in a moment of protected mode. KVM without a host's
# support for real mode does not like that; there it is enough to switch the local APIC off, which
# QEMU 7.2's own emulation does not take.
pass_through_apic:
        mov     eax, 0x40000000
        cpuid
        cmp     ebx, 0x4b4d564b                 # "KVMK"
        jne     1f
        mov     ecx, 0x1b
        rdmsr
        btr     eax, 11
        wrmsr
        ret
1:
        data32 lgdt cs:[gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     bx, 8
        mov     fs, bx
        mov     edi, 0xfee000f0                 # on
        mov     dword ptr fs:[edi], 0x1ff
        mov     edi, 0xfee00350                 # LINT0: external interrupts
        mov     dword ptr fs:[edi], 0x700
        and     al, 0xfe
        mov     cr0, eax
        xor     bx, bx
        mov     fs, bx
        ret

on_timer:
        push    ax
        inc     dword ptr [ticks]
        mov     al, 0x20
        out     0x20, al
        pop     ax
        iret

# ---- disk: ATA PIO, polled, 28-bit addresses -----------------------------------------------------

# Finds the disk and its capacity; carry: none.
disk_setup:
        mov     dx, 0x3f6
        mov     al, 2                           # no interrupts
        out     dx, al
        mov     dx, ATA + 7
        in      al, dx
        cmp     al, 0xff
        je      9f
        test    al, al
        je      9f
        xor     eax, eax
        mov     cl, 0xec                        # IDENTIFY DEVICE
        call    disk_command
        call    disk_wait_data
        jc      9f
        call    disk_take
        mov     eax, [sector + 120]             # words 60 and 61: sectors
        dec     eax
        jle     9f
        mov     [capacity], eax
        clc
        ret
9:      stc
        ret

# Reads sector eax; carry: failed.
disk_read:
        mov     cl, 0x20
        call    disk_command
        call    disk_wait_data
        jc      9b
disk_take:
        mov     di, offset sector
        mov     cx, 256
        mov     dx, ATA
        rep     insw
        clc
        ret

# Writes the buffer to sector eax; carry: failed.
disk_write:
        mov     cl, 0x30
        call    disk_command
        call    disk_wait_data
        jc      9b
        mov     si, offset sector
        mov     cx, 256
        mov     dx, ATA
        rep     outsw
        jmp     disk_wait

# Flushes the disk's cache; carry: failed.
disk_flush:
        xor     eax, eax
        mov     cl, 0xe7
        call    disk_command
        jmp     disk_wait

# Sends command cl for one sector at eax.
disk_command:
        mov     ebx, eax
        mov     dx, ATA + 7
1:      in      al, dx
        test    al, 0x80
        jnz     1b
        mov     eax, ebx
        shr     eax, 24
        and     al, 0x0f
        or      al, 0xe0
        mov     dx, ATA + 6
        out     dx, al
        mov     dx, ATA + 2
        mov     al, 1
        out     dx, al
        inc     dx
        mov     al, bl
        out     dx, al
        inc     dx
        mov     al, bh
        out     dx, al
        inc     dx
        shr     ebx, 16
        mov     al, bl
        out     dx, al
        mov     dx, ATA + 7
        mov     al, cl
        out     dx, al
        ret

# Waits until the command is done; carry: it failed.
disk_wait:
        mov     dx, 0x3f6
        in      al, dx                          # the standard's 400 ns
        in      al, dx
        in      al, dx
        in      al, dx
        mov     dx, ATA + 7
1:      in      al, dx
        test    al, 0x80
        jnz     1b
        test    al, 0x21                        # device fault, error
        jnz     9b
        clc
        ret

# Waits until the disk gives or takes data; carry: it does not.
disk_wait_data:
        call    disk_wait
        jc      2f
        test    al, 0x08
        jnz     2f                              # test has cleared carry
        stc
2:      ret

# ---- serial port ---------------------------------------------------------------------------------

serial_setup:
        mov     dx, COM1 + 3
        mov     al, 0x80
        out     dx, al
        mov     dx, COM1
        mov     al, 1                           # 115200
        out     dx, al
        inc     dx
        xor     al, al
        out     dx, al
        mov     dx, COM1 + 3
        mov     al, 3                           # 8N1
        out     dx, al
        mov     dx, COM1 + 1
        xor     al, al                          # no interrupts
        out     dx, al
        inc     dx
        mov     al, 7                           # FIFOs on and empty
        out     dx, al
        ret

# Prints the zero-ended text at cs:si.
print:
        mov     al, cs:[si]
        inc     si
        test    al, al
        jz      1f
        call    print_char
        jmp     print
1:      ret

print_space:
        mov     al, 0x20
        jmp     print_char
print_newline:
        mov     al, 0x0a
print_char:
        push    dx
        push    ax
        mov     dx, COM1 + 5
1:      in      al, dx
        test    al, 0x20
        jz      1b
        pop     ax
        mov     dx, COM1
        out     dx, al
        pop     dx
        ret

# Prints eax in decimal.
print_decimal:
        mov     ebx, 10
        xor     cx, cx
1:      xor     edx, edx
        div     ebx
        push    dx
        inc     cx
        test    eax, eax
        jnz     1b
2:      pop     ax
        add     al, 0x30
        call    print_char
        loop    2b
        ret

print_nonce:
        mov     si, offset nonce + 7
        mov     cx, 8
1:      mov     al, [si]
        dec     si
        call    print_byte
        loop    1b
        ret

# Prints al in two hex digits.
print_byte:
        push    ax
        shr     al, 4
        call    1f
        pop     ax
        and     al, 0x0f
1:      cmp     al, 10
        jb      2f
        add     al, 0x27
2:      add     al, 0x30
        jmp     print_char

# ---- texts ---------------------------------------------------------------------------------------

magic_record:   .ascii  "QRECORD1"
magic_counter:  .ascii  "QCOUNTR1"
text_boot:      .asciz  "boot "
text_tick:      .asciz  "tick "
text_ioerr:     .asciz  "ioerr "
text_no_disk:   .asciz  "nodisk"
text_corrupt:   .asciz  "corrupt"

        .balign 8
gdt:            .quad   0, 0x00cf92000000ffff   # nothing; data, base 0, 4 GiB
gdt_pointer:    .word   15
                .long   0xf0000 + gdt

        # The processor starts here.
        .org    0xfff0
reset:
        .byte   0xea                            # jmp far 0xf000:start
        .word   start
        .word   0xf000
        .org    0x10000
