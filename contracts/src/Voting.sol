// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarket} from "./interfaces/IMarket.sol";
import {Messages} from "./libraries/Messages.sol";
import {Votes} from "./libraries/Votes.sol";
import {Rounds} from "./Rounds.sol";

/// @title Voting: commits, then reveals (P3.5)
abstract contract Voting is IMarket, Rounds {
    /// @inheritdoc IMarket
    function pin(bytes32 id) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Committing);
        _requireBefore(job.deadline); // later, the drawn could only be fined (P5.3)
        Round storage round = job.rounds[job.round];
        if (round.firstSeats != 0) revert AlreadyDrawn(id, job.round);
        if (_pin(id, job, round)) return;
        if (round.reseeded) revert SeedGone(round.seedBlock);
        _reseed(id, job, round);
    }

    /// @inheritdoc IMarket
    function commit(bytes32 id, uint256 place, bytes32 hash) external {
        Job storage job = _jobs[id];
        _requireState(id, job, State.Committing);
        _requireBefore(job.deadline);
        if (hash == 0) revert ZeroWord();
        Round storage round = job.rounds[job.round];
        if (round.firstSeats == 0 && !_pin(id, job, round)) revert SeedGone(round.seedBlock);
        if (!_isSeated(round, place, msg.sender)) revert NotSeat(msg.sender, place);
        uint32 bit = uint32(1) << uint8(place);
        uint32 committed = round.committed;
        if (committed & bit != 0) revert AlreadyCommitted(id, job.round, place);
        committed |= bit;
        round.committed = committed;
        round.votes[place] = hash;
        emit Committed(id, _seatAt(round, place), job.round, uint8(place), hash);
        if (committed == _drawnMask(round)) _enterRevealing(id, job);
    }

    /// @inheritdoc IMarket
    function reveal(bytes32 id, uint256 place, bytes32 vote, bytes32 evidence, bytes32 salt) external {
        Job storage job = _jobs[id];
        Round storage round = job.rounds[job.round];
        // The commits' deadline needs no transaction of its own: whoever reveals first moves the job on.
        if (job.state == State.Committing && _hasEnoughCommits(job, round)) _enterRevealing(id, job);
        _requireState(id, job, State.Revealing);
        _requireBefore(job.deadline);
        uint32 bit = _requireCommitted(id, job, round, place);
        _requireOpens(id, job, place, vote, evidence, salt);
        vote = Votes.checked(vote, job.lanes);
        round.revealed |= bit;
        round.votes[place] = vote;
        emit Revealed(id, _seatAt(round, place), job.round, uint8(place), vote, evidence);
        if (round.revealed == round.committed) _closeRevealing(id, job);
    }

    function _requireCommitted(bytes32 id, Job storage job, Round storage round, uint256 place)
        private
        view
        returns (uint32 bit)
    {
        if (place < round.size) bit = uint32(1) << uint8(place);
        if (round.committed & bit == 0) revert NotCommitted(id, job.round, place);
        if (round.revealed & bit != 0) revert AlreadyRevealed(id, job.round, place);
    }

    function _requireOpens(bytes32 id, Job storage job, uint256 place, bytes32 vote, bytes32 evidence, bytes32 salt)
        private
        view
    {
        uint8 number = job.round;
        Round storage round = job.rounds[number];
        bytes32 opened = Messages.commitment(id, number, _seatAt(round, place), vote, evidence, salt);
        bytes32 hash = round.votes[place];
        if (hash != opened) revert WrongReveal(hash, opened);
    }
}
