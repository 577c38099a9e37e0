# The last words of PID 1 of a sandbox: takes the rest of the host's view away, and runs one command with the rights of
# its kind, behind a filter of system calls and with a keyring of its own. It waits for it and ends as it ends.
#
# Arguments: KIND, VIEW (the folder that becomes the root, or empty: the root stays), and the command.
# Environment: that of the command; RB_ENVIRONMENT: a file of NAME=VALUE, NUL-separated, that takes its place. What is
#   secret in it is seen by nobody else: arguments of processes are the whole machine's. RB_TERMINAL: standard input is
#   the user's; without, it is empty. RB_ARCH: Debian's name for the architecture of the tree. RB_FIRST: the command takes the place of PID 1, and nobody waits for it.
use strict;

BEGIN { require($0 =~ s{^(?!/)}{./}r =~ s{[^/]*$}{calls.pl}r) }

my @twelve = qw(chown dac_override fowner fsetid kill setgid setuid setfcap setpcap sys_chroot audit_write net_bind_service);
# rights: capabilities(7) of the command and all that it starts. nobody: the user, but where a user namespace knows one
# id alone. ambient: the rights of one who is not root. locked: no program gives more rights (no_new_privs).
# mounts: the calls that mount are not denied. relayed: scripts of others run there, which may open /dev/stdout.
my %kinds = (
    bootstrap => {rights => [@twelve, qw(sys_admin mknod)], mounts => 1, relayed => 1},
    evaluation => {rights => [], nobody => 1, locked => 1, relayed => 1},
    step => {rights => \@twelve, relayed => 1},
    hook => {rights => [qw(chown dac_override fowner fsetid)], relayed => 1},
    writer => {rights => [qw(dac_override fowner)], locked => 1},
    reader => {rights => [qw(dac_read_search)], nobody => 1, ambient => 1, locked => 1},
    unpacker => {rights => [qw(chown dac_override fowner fsetid mknod)], locked => 1},
);
my %capabilities = (chown => 0, dac_override => 1, dac_read_search => 2, fowner => 3, fsetid => 4, kill => 5, setgid => 6,
    setuid => 7, setpcap => 8, net_bind_service => 10, sys_chroot => 18, sys_admin => 21, mknod => 27, audit_write => 29, setfcap => 31);
sub NOBODY() { 65534 }
sub PIECE() { 65536 }
# /proc/sys/fs/pipe-max-size, as the kernel has it.
sub LARGEST_PIPE() { 1 << 20 }
sub NOT_THERE() { 2 }
sub ENTRY_LIMIT() { 63 }
sub CAPABILITY_VERSION() { 0x20080522 }
sub RDONLY() { 1 }
sub NOSUID() { 2 }
sub NODEV() { 4 }
sub NOEXEC() { 8 }
sub REMOUNT() { 32 }
sub BIND() { 4096 }
sub DETACH() { 2 }
sub KEEP_CAPABILITIES() { 8 }
sub DROP_FROM_BOUNDING() { 24 }
sub NO_NEW_PRIVILEGES() { 38 }
sub AMBIENT() { 47 }
sub RAISE() { 2 }
sub JOIN_SESSION_KEYRING() { 1 }
sub FILTER_MODE() { 1 }
sub SPECULATION_ALLOWED() { 4 }

# What a process would have from the caller, and what it does could depend on: soft and hard limit by the numbers of
# resource.h. Those that bound a build (time, memory, processes, the size of a file) stay the caller's.
sub UNLIMITED() { ~0 }
my %limits = (
    3 => [8 << 20, UNLIMITED],    # stack
    4 => [0, UNLIMITED],    # core
    7 => [1024, 524_288],    # nofile
    8 => [8 << 20, 8 << 20],    # memlock
    10 => [UNLIMITED, UNLIMITED],    # locks
    11 => [UNLIMITED, UNLIMITED],    # sigpending
    12 => [819_200, 819_200],    # msgqueue
    13 => [0, 0],    # nice
    14 => [0, 0],    # rtprio
    15 => [UNLIMITED, UNLIMITED],    # rttime
);

# What of a /proc is the machine's and says more than a command needs.
my @hidden = qw(kcore kmsg keys key-users timer_list latency_stats sched_debug vmallocinfo kpagecount kpageflags kpagecgroup);

my %number = numbers(machine());

# call(NAME, ARGUMENT...): a system call; false if it fails. The kernel gets the memory of the texts themselves, so none
# may be a constant.
sub call {
    my $name = shift;
    return syscall($number{$name}, @_) != -1;
}

sub wanted {
    my ($what, $done) = @_;
    return $done if $done;
    print STDERR "$what: $!\n";
    exit 96;
}

# attach(SOURCE, TARGET, TYPE, FLAGS, DATA): mount(2).
sub attach {
    my ($source, $target, $type, $flags, $data) = @_;
    wanted("mounting $target", call('mount', $source, $target, $type, $flags, $data));
}

# read_only(PLACE): keeps what it shows, and lets nobody write it.
sub read_only {
    my ($place) = @_;
    attach($place, $place, 'none', BIND, '');
    attach('none', $place, 'none', REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC, '');
}

# renew(PLACE, TYPE, FLAGS): a file system of the kernel without one below it: the kernel lets a user namespace mount a new
# one only where it sees an old one in full. What a user namespace has got with its mounts stays.
sub renew {
    my ($place, $type, $flags) = @_;
    return unless -d $place;
    1 while call('umount2', $place, DETACH);
    attach($type, $place, $type, $flags | NOSUID | NODEV | NOEXEC, '');
}

# The kernel asks in /proc who is root, and not for a capability: all that is not of a process is read-only.
sub mask_proc {
    my ($proc) = @_;
    opendir(my $folder, $proc) or wanted($proc, 0);
    for my $name (sort readdir $folder) {
        my $path = "$proc/$name";
        next if $name =~ /^(?:\d+|\.\.?)$/ || -l $path;
        if (grep { $_ eq $name } @hidden) {
            attach('/dev/null', $path, 'none', BIND, '');
        } elsif (-d _ || (stat _)[2] & 0222) {
            read_only($path);
        }
    }
}

sub mask_sys {
    my ($sys) = @_;
    for my $path ("$sys/firmware", "$sys/devices/virtual/powercap") {
        attach('realmfs-mask', $path, 'tmpfs', RDONLY | NOSUID | NODEV | NOEXEC, 'size=4k,mode=0555') if -d $path;
    }
}

# enter(VIEW): makes it the root, and nothing is left of the old one.
sub enter {
    my ($view) = @_;
    chdir $view or wanted($view, 0);
    my ($new, $old) = ('.', '.');
    wanted('entering the root', call('pivot_root', $new, $old));
    wanted('leaving the old root', call('umount2', $old, DETACH));
    chdir '/' or wanted('/', 0);
}

# The mask of capabilities, as two words of capset(2).
sub mask {
    my $mask = 0;
    $mask |= 1 << $capabilities{$_} for @_;
    return $mask;
}

sub set_rights {
    my ($kind, $arch) = @_;
    my @rights = @{$kind->{rights}};
    my $kept = mask(@rights);
    for my $capability (0 .. ENTRY_LIMIT) {
        next if $capability < 32 && $kept & 1 << $capability;
        # The kernel knows no more.
        last unless call('prctl', DROP_FROM_BOUNDING, $capability, 0, 0, 0);
    }
    if ($kind->{locked}) { wanted('no_new_privs', call('prctl', NO_NEW_PRIVILEGES, 1, 0, 0, 0)) }
    my $program = filter($kind->{mounts}, $kind->{mounts} || ($arch // '') eq 'i386');
    my $fprog = pack('S x![P] P', length($program) / 8, $program);
    wanted('the filter of system calls', call('seccomp', FILTER_MODE, SPECULATION_ALLOWED, $fprog));
    if ($kind->{ambient}) { wanted('keeping rights', call('prctl', KEEP_CAPABILITIES, 1, 0, 0, 0)) }
    if ($kind->{nobody} && !is_single_user()) {
        $) = NOBODY . ' ' . NOBODY;
        $( = NOBODY;
        ($<, $>) = (NOBODY, NOBODY);
        wanted('becoming nobody', $< == NOBODY && $> == NOBODY && $( eq NOBODY . ' ' . NOBODY && $) eq NOBODY . ' ' . NOBODY);
    }
    my $inherited = $kind->{ambient} ? $kept : 0;
    my ($header, $data) = (pack('L l', CAPABILITY_VERSION, 0), "\0" x 24);
    wanted('asking for rights', call('capget', $header, $data));
    my @words = unpack('L6', $data);
    # Those of root are made anew when the command begins.
    @words[0, 1, 3, 4] = ($kept, $kept, 0, 0) if $kind->{ambient};
    @words[2, 5] = ($inherited, 0);
    my $set = pack('L6', @words);
    wanted('setting rights', call('capset', $header, $set));
    return unless $kind->{ambient};
    wanted('keeping rights', call('prctl', AMBIENT, RAISE, $capabilities{$_}, 0, 0)) for @rights;
}

# is_single_user(): a user namespace of somebody who is not root knows one id.
sub is_single_user {
    open(my $map, '<', '/proc/self/uid_map') or return 0;
    my (undef, undef, $ids) = split ' ', <$map>;
    return $ids == 1;
}

sub not_run {
    my ($program) = @_;
    my $code = $! == NOT_THERE ? 127 : 126;
    print STDERR "$program: $!\n";
    exit $code;
}

sub set_environment {
    my ($file) = @_;
    return unless defined $file;
    open(my $handle, '<:raw', $file) or wanted($file, 0);
    local $/;
    %ENV = map { split /=/, $_, 2 } split /\0/, <$handle>;
}

# What passes from process to process besides the environment is the same in every build.
sub set_inherited {
    wanted('the personality', call('personality', 0));
    for my $limit (keys %limits) {
        my $wanted = pack('Q2', @{$limits{$limit}});
        next if call('prlimit64', 0, $limit + 0, $wanted, 0);
        # Not even every root may raise a limit: then it is the nearest one.
        my $now = "\0" x 16;
        wanted("limit $limit", call('prlimit64', 0, $limit + 0, 0, $now));
        my (undef, $most) = unpack('Q2', $now);
        my $nearest = pack('Q2', map { $_ < $most ? $_ : $most } @{$limits{$limit}});
        wanted("limit $limit", call('prlimit64', 0, $limit + 0, $nearest, 0));
    }
}

# Copies what comes from the first of each pair to the second, until there is an end of all; after the end of `$over`, no more
# than a pipe can hold: whoever is left may write without end.
sub copy {
    my ($over, @pairs) = @_;
    my $is_over = 0;
    my %taken;
    while (@pairs) {
        my $wanted = '';
        vec($wanted, fileno $_, 1) = 1 for map({ $_->[0] } @pairs), $is_over ? () : $over;
        my $count = select(my $ready = $wanted, undef, undef, $is_over ? 0 : undef);
        next if $count < 0;
        return if $count == 0;
        $is_over ||= vec($ready, fileno $over, 1);
        for my $pair (@pairs) {
            my ($from, $to) = @$pair;
            next unless vec($ready, fileno $from, 1);
            my $length = sysread($from, my $piece, PIECE);
            $taken{$from} += $length // 0 if $is_over;
            @$pair = () if !$length || ($taken{$from} // 0) >= LARGEST_PIPE;
            for (my $at = 0; $length && $at < $length;) {
                # Whoever listened is gone.
                $at += syswrite($to, $piece, $length - $at, $at) // return;
            }
        }
        @pairs = grep { @$_ } @pairs;
    }
}

# relay(): what the builder listens to are sockets, and nobody can open a socket by its name: /dev/stdout and /dev/stderr are
# pipes for the command and all that it starts, whoever they run as. A process copies what comes through them. Returns what
# ends it when it is closed, and its number.
sub relay {
    my @outputs = grep { -S } \*STDOUT, \*STDERR;
    return unless @outputs;
    my (@pairs, @writers);
    for my $output (@outputs) {
        pipe(my $from, my $to) or wanted('a pipe', 0);
        chmod 0622, $to or wanted('a pipe', 0);
        push @pairs, [$from, $output];
        push @writers, $to;
    }
    pipe(my $over, my $going) or wanted('a pipe', 0);
    my $relay = fork // wanted('fork', 0);
    if ($relay == 0) {
        close $_ for @writers, $going;
        set_rights({rights => [], locked => 1});
        copy($over, @pairs);
        exit 0;
    }
    open($outputs[$_], '>&', $writers[$_]) or wanted('a pipe', 0) for 0 .. $#outputs;
    return ($going, $relay);
}

my ($name, $view, @command) = @ARGV;
my $kind = $kinds{$name // ''} or die "no such kind of sandbox\n";
my ($environment, $is_terminal, $is_first, $arch) = delete @ENV{qw(RB_ENVIRONMENT RB_TERMINAL RB_FIRST RB_ARCH)};
renew("$view/proc", 'proc', 0);
mask_proc("$view/proc");
renew("$view/sys", 'sysfs', RDONLY);
mask_sys("$view/sys");
set_environment($environment);
set_inherited();
enter($view) if $view ne '';
# That of the old root would be a way to it.
$is_terminal or open(STDIN, '<', '/dev/null') or wanted('/dev/null', 0);

my ($going, $relay) = $kind->{relayed} && !$is_first ? relay() : ();
my $child = $is_first ? 0 : fork // wanted('fork', 0);
if ($child == 0) {
    $SIG{$_} = 'DEFAULT' for qw(INT QUIT);
    wanted('a keyring', call('keyctl', JOIN_SESSION_KEYRING, 0));
    set_rights($kind, $arch);
    exec { $command[0] } @command or not_run($command[0]);
}
if ($relay) { open($_, '>', '/dev/null') or wanted('/dev/null', 0) for \*STDOUT, \*STDERR }
# What others have left behind ends here, too.
my $status;
while ((my $ended = wait) != -1) {
    if ($ended == $child) {
        $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
        close $going if $relay;
    }
    $relay = 0 if $relay && $ended == $relay;
    exit $status if defined $status && !$relay;
}
