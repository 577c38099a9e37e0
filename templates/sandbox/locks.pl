# Holds locks for the builder, on files of the store. They end with it.
#
# Standard input, a line each: "shared FILE", "exclusive FILE", "release FILE". Each is answered
# by a line: "yes", or "no" if somebody else holds the file, or there is none. Nothing waits.
use strict;
use warnings;
use Fcntl qw(:flock);

$| = 1;
my %held;
while (my $line = <STDIN>) {
    chomp $line;
    my ($word, $file) = split / /, $line, 2;
    my $answer = 'no';
    if ($word eq 'release') {
        delete $held{$file};
        $answer = 'yes';
    } elsif (!$held{$file} && open(my $handle, '<', $file)) {
        if (flock($handle, ($word eq 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
            $held{$file} = $handle;
            $answer = 'yes';
        }
    }
    print "$answer\n";
}
